/**
 * Every option of the library's calls has an effect, and the same one along every path: the library, a batch, the engine of
 * the page and the command line.
 *
 * Tests src/library/options.ts, src/library/planner_options.ts, src/library/shadow_model.ts, src/engine/batch.ts,
 * src/web/engine/engine.ts, src/web/engine/remote_model.ts and src/web/engine/study.ts.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  ShadowModel,
  type ChatOptions,
  type GenerateOptions,
  type MaskOptions,
  type PlanOptions,
  type UnitMask,
} from '../../src/library/index.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { needs, type PlannerName } from '../../src/planners/index.ts'
import { createEngine } from '../../src/web/engine/engine.ts'
import { RemoteModel } from '../../src/web/engine/remote_model.ts'
import { study } from '../../src/web/engine/study.ts'
import type { StudyOptions } from '../../src/web/engine/study_types.ts'
import { RpcClient, serveCalls } from '../../src/web/engine/worker_rpc.ts'
import { runInside } from '../cli/run_inside.ts'
import {
  chatTable,
  generateTable,
  maskTable,
  planTable,
  studyTable,
  type OptionRow,
  type OptionRows,
  type OptionTable,
} from './option_rows.ts'
import { makeFiles } from '../cli/options/made_files.ts'
import { commits, writeSmallFiles } from '../cli/options/small_files.ts'

const prompt = 'abcdef'
const maxTokens = 12
/** One test runs hundreds of commands; a test that takes this long hangs. */
const hang = 600_000
let folder = ''
let opt: ShadowModel
let remote: RemoteModel
beforeAll(async () => {
  folder = await writeSmallFiles()
  await makeFiles(folder)
  opt = await ShadowModel.fromPretrained(join(folder, 'model'))
  await opt.loadCalibration(join(folder, 'traces'))
  for (const kind of ['dejavu', 'dejavu-style'])
    await opt.loadPredictor(join(folder, `predictors/${kind}.safetensors`))
  remote = await RemoteModel.fromPretrained(joinedLine(), join(folder, 'model'))
}, hang)
afterAll(async () => {
  await remote.dispose()
  await opt.dispose()
  rmSync(folder, { recursive: true })
})

/** A line to an engine in this thread. Messages are copied, as between threads. */
function joinedLine(): RpcClient {
  const serve = serveCalls(createEngine(), (message) => line.receive(structuredClone(message)))
  const line = new RpcClient((message) => serve(structuredClone(message)))
  return line
}

/** The calls of a model, local or remote. */
type Calls = Pick<ShadowModel, 'generate' | 'forward' | 'mask'> | RemoteModel

async function tokensOf(from: Calls, options: GenerateOptions): Promise<number[]> {
  const tokens: number[] = []
  for await (const { token } of from.generate(prompt, { maxTokens, ...options })) tokens.push(token)
  return tokens
}

/** The answer to a chat; the page has none. */
async function answerOf(_: Calls, options: ChatOptions): Promise<number[]> {
  const tokens: number[] = []
  const messages = [{ role: 'user', content: prompt }]
  for await (const { token } of opt.chat(messages, { maxTokens, ...options })) tokens.push(token)
  return tokens
}

const textOf = ({ heads, neurons }: UnitMask): string => [...heads, ...neurons].join('')
const maskOf = async (from: Calls, options: MaskOptions): Promise<string> =>
  textOf(await from.mask(prompt, options))

const ids = (): number[] => [2, ...opt.encode('abcdefghij')]
async function logitsOf(from: Calls, options: PlanOptions): Promise<number[]> {
  return [...((await from.forward(ids(), options)).logits.data as Float32Array)]
}

/** The logits of the same tokens as a padded row of a batch. */
async function batchLogitsOf(from: Calls, options: PlanOptions): Promise<number[]> {
  const own = ids()
  const { logits } = await from.forward(
    { input_ids: [[1, 1, ...own]], attention_mask: [[0, 0, ...own.map(() => 1)]] },
    options,
  )
  return [...(logits.data as Float32Array)].slice(2 * opt.config.vocabulary)
}

/** The options of a row for one of its values. */
const optionsOf = <Options extends object>(
  name: string,
  { beside }: OptionRow<Options>,
  value: unknown,
): Options => ({ ...beside, ...(value !== undefined && { [name]: value }) }) as Options

type Look<Options> = (from: Calls, options: Options) => Promise<unknown>

/** Expects a different result for each value. @param look may be a mutant that drops the option */
async function eachValueShows<Options extends object>(
  name: string,
  row: OptionRow<Options>,
  look: Look<Options>,
): Promise<void> {
  const found: string[] = []
  for (const value of row.values) found.push(JSON.stringify(await look(opt, optionsOf(name, row, value))))
  expect(new Set(found).size, `different results of ${name}: ${row.values.join(', ')}`).toBe(found.length)
}

function stateEffects<Options extends object>(
  call: string,
  table: OptionTable<Options>,
  look: Look<Options>,
): void {
  describe(`${call}:`, () => {
    for (const [name, rows] of Object.entries<OptionRows<Options>>(table))
      if (typeof rows !== 'string')
        test(`each value of ${name} gives another result, and a call that drops the option is found`, async () => {
          for (const row of rows) {
            await eachValueShows(name, row, look)
            const dropping: Look<Options> = (from, options) => look(from, { ...options, [name]: undefined })
            await expect(eachValueShows(name, row, dropping)).rejects.toThrow()
          }
        })
  })
}

stateEffects('generate', generateTable, tokensOf)
stateEffects('chat', chatTable, answerOf)
stateEffects('forward', planTable, logitsOf)
stateEffects('forward of a batch', planTable, batchLogitsOf)
stateEffects('mask', maskTable, maskOf)
const plannerTable: OptionTable<PlanOptions> = {
  ...planTable,
  every: [{ beside: { planner: 'random' }, values: [undefined, 1, 3] }],
}
stateEffects<PlanOptions>('planner', plannerTable, async (_, options) => {
  const planner = await opt.planner(options)
  return [planner?.every, await logitsOf(opt, { planner: planner ?? 'dense' })]
})

/** All events of a study, without speeds. */
const studyOf: Look<StudyOptions> = async (from, options) => {
  const events =
    from instanceof RemoteModel
      ? from.study(prompt, { maxTokens: 5, ...options })
      : study(opt, prompt, { maxTokens: 5, ...options })
  const told: unknown[] = []
  for (;;) {
    const { done, value } = await events.next()
    told.push({ ...value, tokensPerSecond: null, rounds: null })
    if (done) return told
  }
}
stateEffects('study', studyTable, studyOf)

test('study: the planner ranks by the criterion that was asked for', async () => {
  for (const criterion of ['l2norm', 'gradnorm'])
    expect((await studyOf(opt, { planner: 'prompt-plainact', criterion })) as object[]).toContainEqual(
      expect.objectContaining({ kind: 'start', ranks: criterion }),
    )
})

/** Every combination in a table, by name. */
function* casesOf<Options extends object>(table: OptionTable<Options>): Generator<[string, Options]> {
  for (const [name, rows] of Object.entries<OptionRows<Options>>(table))
    if (typeof rows !== 'string')
      for (const row of rows)
        for (const value of row.values) yield [`${name} ${String(value)}`, optionsOf(name, row, value)]
}

const ranksMean = (planner: unknown): boolean =>
  planner !== undefined && needs(planner as PlannerName, 'calibration')
const needsMoments = (compensate: unknown): boolean => compensate !== undefined && compensate !== 'none'
/** Whether a planner needs files of its own, which an engine has no call to read. */
const needsFiles = ({ planner, compensate }: Pick<MaskOptions, 'planner' | 'compensate'>): boolean =>
  ranksMean(planner) || needsMoments(compensate) || ['dejavu', 'dejavu-style'].includes(planner as string)

describe('along two paths', () => {
  test(
    'a batch gives what each of its sequences gives alone, under every option',
    { timeout: hang },
    async () => {
      for (const [name, options] of casesOf(planTable))
        expect(await batchLogitsOf(opt, options), name).toEqual(await logitsOf(opt, options))
    },
  )

  test(
    'the engine of the page gives what the library gives, under every option',
    { timeout: hang },
    async () => {
      for (const [name, options] of casesOf(generateTable))
        if (!needsFiles(options))
          expect(await tokensOf(remote, options), name).toEqual(await tokensOf(opt, options))
      for (const [name, options] of casesOf(planTable))
        if (!needsFiles(options))
          expect(await logitsOf(remote, options), name).toEqual(await logitsOf(opt, options))
      for (const [name, options] of casesOf(studyTable))
        expect(await studyOf(remote, options), name).toEqual(await studyOf(opt, options))
      for (const [name, options] of casesOf(maskTable))
        if (!needsFiles(options))
          expect(await maskOf(remote, options), name).toEqual(await maskOf(opt, options))
    },
  )

  /** The command line flags of options. */
  const flagsOf = (options: object): string[] =>
    Object.entries(options).flatMap(([name, value]) => {
      const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
      if (value === false || value === undefined) return []
      return value === true
        ? [flag]
        : [flag, typeof value === 'object' ? JSON.stringify(value) : String(value)]
    })
  const filesOf = ({ planner, compensate }: Pick<MaskOptions, 'planner' | 'compensate'>): string[] => {
    if (ranksMean(planner) || needsMoments(compensate)) return ['--calibration', join(folder, 'traces')]
    return needsFiles({ planner })
      ? ['--predictor', join(folder, `predictors/${String(planner)}.safetensors`)]
      : []
  }
  const runJson = async (command: string, options: MaskOptions): Promise<Record<string, unknown>> => {
    const args = [command, prompt, '-m', join(folder, 'model'), '--json']
    const { code, stdout, stderr } = await runInside([...args, ...flagsOf(options), ...filesOf(options)])
    if (code !== 0) throw new Error(stderr)
    return JSON.parse(stdout) as Record<string, unknown>
  }

  test(
    '"shadowllm generate" writes what the library writes, under every option',
    { timeout: hang },
    async () => {
      for (const [name, options] of casesOf(generateTable)) {
        const { tokens } = await runJson('generate', { maxTokens, ...options } as MaskOptions)
        expect(tokens, name).toEqual(await tokensOf(opt, options))
      }
    },
  )

  test('"shadowllm masks" keeps what the library keeps, under every option', { timeout: hang }, async () => {
    for (const [name, options] of casesOf(maskTable)) {
      if (Array.isArray(options.continuation)) continue
      const { layers } = await runJson('masks', options)
      const mask = await opt.mask(prompt, options)
      const { heads, neurons } = mask.shape
      const kept = (layers as { heads: number[]; neurons: number }[]).map((layer) => [
        layer.heads,
        layer.neurons,
      ])
      const row = (values: Float32Array, layer: number, units: number): Float32Array =>
        values.subarray(layer * units, (layer + 1) * units)
      const expected = kept.map((_, layer) => [
        [...row(mask.heads, layer, heads).keys()].filter((head) => row(mask.heads, layer, heads)[head] === 1),
        row(mask.neurons, layer, neurons).reduce((sum, value) => sum + value, 0),
      ])
      expect(kept, name).toEqual(expected)
    }
  })
})

describe('an option that changes few numbers or none reaches the sequences', () => {
  /** The mode and cache of each sequence that some work begins. */
  async function begun(work: () => Promise<unknown>): Promise<(string | undefined)[][]> {
    const spy = vi.spyOn(LanguageModel.prototype, 'begin')
    try {
      await work()
      return spy.mock.calls.map(([options]) => [options?.mode, options?.cache])
    } finally {
      spy.mockRestore()
    }
  }
  const generate = (from: Calls, options: GenerateOptions) => begun(() => tokensOf(from, options))

  test.each(['skip', 'pack', 'simulate'] as const)('mode %s', async (mode) => {
    const options = { planner: 'random', mode } as const
    for (const from of [opt, remote]) {
      expect(await generate(from, options)).toEqual([[mode, undefined]])
      expect(await begun(() => logitsOf(from, options))).toEqual([[mode, undefined]])
      expect(await begun(() => batchLogitsOf(from, options))).toEqual([[mode, undefined]])
    }
  })

  test.each(['f32', 'int8'] as const)('cache %s', async (cache) => {
    for (const from of [opt, remote]) expect(await generate(from, { cache })).toEqual([[undefined, cache]])
  })
})

describe('fromPretrained', () => {
  const model = (): string => join(folder, 'model')
  const using = async <T>(opening: Promise<ShadowModel>, look: (opened: ShadowModel) => T): Promise<T> => {
    const opened = await opening
    try {
      return look(opened)
    } finally {
      await opened.dispose()
    }
  }

  test.each(['wasm', 'reference', 'wasm-rust'] as const)('computes with the backend %s', async (backend) => {
    const name = await using(
      ShadowModel.fromPretrained(model(), { backend }),
      (opened) => opened.model.backend.name,
    )
    expect(name).toBe(backend)
  })

  test.each(['f32', 'bf16', 'f16', 'int8'] as const)(
    'stores weights as %s, local and remote',
    async (storage) => {
      const found = await using(
        ShadowModel.fromPretrained(model(), { storage }),
        (opened) => opened.model.weights.storage,
      )
      expect(found).toBe(storage)
      const far = await RemoteModel.fromPretrained(joinedLine(), model(), { storage })
      expect(far.info.storage).toBe(storage)
      await far.dispose()
    },
  )

  test('passes the number of threads on, local and remote: the reference refuses two', async () => {
    const two = { backend: 'reference', threads: 2 } as const
    const one = { ...two, threads: 1 } as const
    await expect(ShadowModel.fromPretrained(model(), two)).rejects.toMatchObject({ code: 'THREADS' })
    await expect(RemoteModel.fromPretrained(joinedLine(), model(), two)).rejects.toMatchObject({
      code: 'THREADS',
    })
    expect(
      await using(ShadowModel.fromPretrained(model(), one), ({ model: { backend } }) => backend.name),
    ).toBe('reference')
  })

  test('reads a revision from the cache, sends no request if it is offline, and reports its progress', async () => {
    vi.stubEnv('HF_HUB_CACHE', join(folder, 'hub'))
    vi.stubEnv('HF_HUB_OFFLINE', '')
    vi.stubGlobal('fetch', async () => new Response('{}', { status: 404 }))
    try {
      const commitOf = (revision?: string): Promise<string | undefined> =>
        using(
          ShadowModel.fromPretrained('tiny/model', { revision, offline: true }),
          ({ origin }) => origin?.commit,
        )
      expect([await commitOf(), await commitOf('other')]).toEqual([commits.main, commits.other])
      await expect(ShadowModel.fromPretrained('tiny/model')).rejects.toMatchObject({ exitCode: 5 })
    } finally {
      vi.unstubAllEnvs()
      vi.unstubAllGlobals()
    }
    const here = vi.fn()
    const far = vi.fn()
    await using(ShadowModel.fromPretrained(model(), { onProgress: here }), () => null)
    await (await RemoteModel.fromPretrained(joinedLine(), model(), { onProgress: far })).dispose()
    expect(here).toHaveBeenCalledWith(expect.objectContaining({ stage: 'load' }))
    expect(far.mock.calls).toEqual(here.mock.calls)
  })
})

describe('a signal that is aborted', () => {
  const signal = AbortSignal.abort(new Error('enough'))
  test.each<[string, () => Promise<unknown>]>([
    ['generate', () => tokensOf(opt, { signal })],
    ['forward', () => logitsOf(opt, { signal })],
    ['forward of a batch', () => batchLogitsOf(opt, { signal })],
    ['perplexity', () => opt.perplexity(prompt, { signal })],
    ['fromPretrained', () => ShadowModel.fromPretrained(join(folder, 'model'), { signal })],
    ['generate of the page', () => tokensOf(remote, { signal })],
    ['forward of the page', () => logitsOf(remote, { signal })],
    ['study', async () => studyOf(opt, { signal })],
    ['study of the page', async () => studyOf(remote, { signal })],
    ['perplexity of the page', () => remote.perplexity(prompt, { signal })],
  ])('ends %s with its reason', (_, call) => expect(call()).rejects.toThrow('enough'))
})
