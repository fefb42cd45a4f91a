/**
 * Where the model of a page runs: on WebGPU if that is measured to be faster and gives the numbers of WebAssembly, else where it was.
 * What is not used is given back.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { embeddedFiles } from '../../../src/io/embedded.ts'
import { ShadowModel } from '../../../src/library/shadow_model.ts'
import { readFile } from '../../../src/platform/platform.ts'
import { MissingError } from '../../../src/tensor/errors.ts'
import { createEngine } from '../../../src/web/engine/engine.ts'
import { fasterModel } from '../../../src/web/engine/faster_model.ts'
import type { BackendChoice, ModelInfo } from '../../../src/web/engine/model_info.ts'
import type { CallTable } from '../../../src/web/engine/worker_rpc.ts'
import { whyNoAdapter } from '../../backends/webgpu/device.ts'

const prompt = 'The captain looked at the sea and'

describe.skipIf(whyNoAdapter !== null)('a model of the page', () => {
  let held: ShadowModel
  beforeAll(async () => {
    held = await ShadowModel.fromPretrained()
    return () => held.dispose()
  })
  const opened: ShadowModel[] = []
  const open = async (): Promise<ShadowModel> => {
    const model = await ShadowModel.fromPretrained('embedded', { backend: 'webgpu' })
    opened.push(model)
    return model
  }
  const isDisposed = ({ model }: ShadowModel): boolean => model.backend.liveBuffers === 0

  test('is measured on both, and the faster one is kept', async () => {
    const { choice, faster } = await fasterModel(held, open)
    const speeds = choice.speeds ?? expect.unreachable()
    expect(Math.min(speeds.wasm, speeds.webgpu)).toBeGreaterThan(0)
    expect(faster !== null).toBe(speeds.webgpu > speeds.wasm)
    expect(isDisposed(opened.at(-1) as ShadowModel)).toBe(faster === null)
    await faster?.dispose()
  })

  test.each([
    ['slower', async () => [2, 1], { speeds: { wasm: 2, webgpu: 1 }, reason: null }],
    ['of other logits', async () => [], { speeds: null, reason: 'inexact' }],
    [
      'lost meanwhile',
      async () => Promise.reject(new MissingError('GPU_LOST', 'backend webgpu: lost')),
      { speeds: null, reason: 'failed', words: 'backend webgpu: lost' },
    ],
  ] as const)('that is %s on WebGPU stays where it was', async (_, measured, choice) => {
    const found = await fasterModel(held, open, undefined, measured as () => Promise<number[]>)
    expect(found).toMatchObject({ choice, faster: null })
    expect(isDisposed(opened.at(-1) as ShadowModel)).toBe(true)
  })

  test('that is faster on WebGPU writes the same text there, with the files that were given', async () => {
    const find: typeof fasterModel = (model, openThere, signal) =>
      fasterModel(model, openThere, signal, async () => [1, 2])
    const engine = createEngine(find)
    const call = (name: string, ...args: unknown[]): Promise<unknown> => answerOf(engine, name, args)
    const entries = Object.entries(embeddedFiles).map(
      async ([name, url]) => [name, new Blob([await readFile(url)])] as const,
    )
    const first = (await call('open', new Map(await Promise.all(entries)), {})) as ModelInfo
    const options = { planner: 'shadow', sparsity: 0.5, maxTokens: 3 }
    const text = await call('generate', first.handle, prompt, options)
    const { choice, info } = (await call('faster', first.handle)) as {
      choice: BackendChoice
      info: ModelInfo
    }
    expect(choice.speeds).toEqual({ wasm: 1, webgpu: 2 })
    await call('dispose', first.handle)
    // The predictor is read from the files now.
    expect(await call('generate', info.handle, prompt, options)).toEqual(text)
    await call('dispose', info.handle)
    await expect(call('encode', info.handle, prompt)).rejects.toMatchObject({ code: 'DISPOSED' })
  })
})

/** What a call gives: its value, or all of its steps. */
async function answerOf(engine: CallTable, name: string, args: unknown[]): Promise<unknown> {
  const result = engine[name]({ signal: new AbortController().signal, progress: () => {} }, ...args)
  if (!(Symbol.asyncIterator in result)) return result
  const steps: unknown[] = []
  for await (const step of result) steps.push((step as { token: number }).token)
  return steps
}
