/**
 * Vectors of 32 bytes in processes of the command line, where Node and the processor join vectors: on by default, also in threads;
 * off where that is said, and then the wide build is not even read; a wrong kernel is not used, and `doctor` names it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { canJoinVectors } from '../../src/platform/platform.ts'
import { thisRuntime } from '../../scripts/steps.ts'
import { compileKernels } from '../backends/wasm/compile.ts'
import { widePlants } from '../backends/wasm/wide_plants.ts'
import { runCli } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-wide-'))
afterAll(() => rmSync(folder, { recursive: true }))

const watch = fileURLToPath(new URL('./watch_wide.ts', import.meta.url))
const runner = { ...thisRuntime, options: [...thisRuntime.options, '--import', watch] }

/** The output of a run, and the builds of kernels that were read. */
async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{
  readonly stdout: string
  readonly builds: string[]
  readonly said: string
  readonly code: number | null
}> {
  const { code, stdout, stderr } = await runCli(args, { runner, env: { SHADOWLLM_WIDE: '', ...env } })
  const isBuild = (line: string): boolean => /^(process|thread): wasm-/.test(line)
  const lines = stderr.split('\n')
  return {
    code,
    stdout,
    builds: [...new Set(lines.filter(isBuild))].toSorted(),
    said: lines.filter((line) => !isBuild(line)).join('\n'),
  }
}

const generate = ['generate', 'Once upon a time', '--max-tokens', '12', '--quiet']
const both = ['process: wasm-bytes', 'process: wasm-wide']
const one = ['process: wasm-bytes']

describe.skipIf(!canJoinVectors())('vectors of 32 bytes', () => {
  test.each<[string, string[], Record<string, string>, string[]]>([
    ['are used by default', [], {}, both],
    ['are not used with --wide off', ['--wide', 'off'], {}, one],
    ['are not used where SHADOWLLM_WIDE is off', [], { SHADOWLLM_WIDE: 'off' }, one],
    [
      'are used with --wide on, whatever SHADOWLLM_WIDE says',
      ['--wide', 'on'],
      { SHADOWLLM_WIDE: 'off' },
      both,
    ],
    ['are used by several threads', ['--threads', '2'], {}, both],
    ['are not used by a backend without them', ['--backend', 'wasm-rust'], {}, []],
  ])('%s, and the text is the same', async (_, flags, env, builds) => {
    const found = await run([...generate, ...flags], env)
    expect(found).toMatchObject({ code: 0, builds })
    expect(found.stdout).toBe((await run([...generate, '--wide', 'off'])).stdout)
  })

  test.each(['on', 'off'])('are %s in the threads of a calibration as in its process', async (choice) => {
    const text = join(folder, 'text')
    writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(40))
    const output = join(folder, `calibration-${choice}`)
    const sizes = ['--limit', '16', '--prompt', '8', '--continuation', '8', '--threads', '2']
    const found = await run(['calibrate', '--text', text, '--output', output, ...sizes, '--wide', choice])
    expect(found.code, found.said).toBe(0)
    expect(found.builds.includes('thread: wasm-bytes')).toBe(true)
    expect(found.builds.includes('thread: wasm-wide')).toBe(choice === 'on')
  })

  test('are not used where a kernel is wrong: the text is the same, and doctor names the kernel', async () => {
    const planted = join(folder, 'planted.wasm')
    const plant = widePlants['a tail of int8 without its numbers, in a tile']
    writeFileSync(planted, await compileKernels(plant, ['--optimizeLevel', '2'], 'wide'))
    const env = { SHADOWLLM_TEST_WIDE: planted }
    const wrong = [...generate, '--storage', 'int8']
    expect((await run(wrong, env)).stdout).toBe((await run([...wrong, '--wide', 'off'])).stdout)
    const { stdout } = await run(['doctor'], env)
    expect(stdout).toMatch(/^wasm 32 bytes +not used: linear_i8: other bits than with vectors of 16 bytes$/m)
  })

  test('are named by doctor as used, or as turned off', async () => {
    expect((await run(['doctor'])).stdout).toMatch(/^wasm 32 bytes +used$/m)
    expect((await run(['doctor'], { SHADOWLLM_WIDE: 'off' })).stdout).toMatch(
      /^wasm 32 bytes +not used: turned off$/m,
    )
  })

  test('are refused a choice that is none, by the name of the variable', async () =>
    expect(await run(generate, { SHADOWLLM_WIDE: 'maybe' })).toMatchObject({
      code: 2,
      builds: [],
      said: expect.stringContaining('SHADOWLLM_WIDE: expected one of on, off, got maybe'),
    }))

  test('are not used by the library unless it is asked', async () => {
    const script = join(folder, 'library.mjs')
    const library = fileURLToPath(new URL('../../src/library/index.ts', import.meta.url))
    writeFileSync(
      script,
      `const { ShadowModel, allowWide } = await import(${JSON.stringify(library)})
if (process.argv[2] === 'asks') allowWide(true)
const model = await ShadowModel.fromPretrained()
await model.dispose()
`,
    )
    const built = async (...args: string[]): Promise<string[]> =>
      (await runCli(args, { runner, entry: script })).stderr.split('\n').filter(Boolean).toSorted()
    expect(await built()).toEqual(one)
    expect(await built('asks')).toEqual(both)
  })
})
