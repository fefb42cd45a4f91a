/**
 * What each command prints, and that it stops when it is told to.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { valuesOf } from '../../src/backends/calls.ts'
import { backendNames, type Backend, type BackendName } from '../../src/backends/backend.ts'
import { colours, plainScreen } from '../../src/cli/screen.ts'
import { timesDense, turnsFit } from '../../src/cli/commands/generate.ts'
import { describeThreads, gainOf, type ThreadCheck } from '../../src/cli/thread_check.ts'
import { writeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { parameterShapes } from '../../src/engine/names.ts'
import { collectText, ShadowModel, type GenerateOptions } from '../../src/index.ts'
import { casesOf, fixtures, variants } from '../golden/golden.ts'
import { portableNames } from '../harness/strict.ts'
import { root, runCli, tinyFolder } from './run_cli.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-commands-'))
afterAll(() => rmSync(folder, { recursive: true }))

const [known] = JSON.parse(readFileSync(`${fixtures}tiny-opt/expected.json`, 'utf8')) as {
  text: string
  greedy_ids: number[]
  greedy_text: string
}[]

/** A terminal without colours. */
const terminal = { columns: 80, paint: plainScreen.paint }

/** Runs a command that must succeed quietly; its JSON. */
async function runJson(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runInside([...args, '--json'])
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as Record<string, unknown>
}

describe('generate', () => {
  test('prints the text and nothing else; --quiet leaves out the line on stderr', async () => {
    const args = ['generate', known.text, '--max-tokens', '32']
    expect(await runInside([...args, '--quiet'])).toEqual({
      code: 0,
      stdout: `${known.greedy_text}\n`,
      stderr: '',
    })
    expect(await runInside(args)).toEqual({
      code: 0,
      stdout: `${known.greedy_text}\n`,
      stderr: expect.stringMatching(/^dense, \d[\d.]* tokens\/s, greedy\n$/),
    })
  })

  test('says how much was skipped: the mean over the tokens after the first one', async () => {
    const args = ['generate', known.text, '--max-tokens', '5', '--planner']
    const skipped = async (...more: string[]): Promise<unknown> => (await runJson(...args, ...more)).skipped
    // Layer 0 of 8 is dense.
    expect(await skipped('random')).toBeCloseTo((0.5 * 7) / 8, 12)
    expect(await skipped('dense')).toBe(0)
    // Of a prompt that runs dense nothing is skipped, but of what follows it.
    expect(await skipped('griffin', '--neuron-sparsity', '0.5')).toBeCloseTo(((0.5 * 7) / 8) * (2 / 3), 12)
    expect(await skipped('griffin', '--max-tokens', '1')).toBeNull()
    const { stderr } = await runInside([...args, 'random'])
    expect(stderr).toMatch(/^44 % of the weights skipped, \d[\d.]* tokens\/s(, \d+\.\d x dense)?, greedy\n$/)
  })

  test('says how many times as fast as dense it was in the median turn, where dense was asked', async () => {
    const own = [10, 10, 10, 10, 10, 100]
    const dense = [20, 20, 20, 30, 10, 20]
    expect(timesDense({ own, dense })).toBe(2)
    expect(timesDense({ own: own.slice(1), dense })).toBeNull()
    expect(timesDense({ own, dense: dense.slice(1) })).toBeNull()
    const after = (first: number, gap: number, count = 7): number[] =>
      Array.from({ length: count }, (_, i) => first + i * gap)
    // A long prompt is not read twice more for it, nor is a slow model asked.
    expect(turnsFit(after(40, 10))).toBe(true)
    for (const slow of [after(200, 10), after(40, 40), after(40, 10, 6)]) expect(turnsFit(slow)).toBe(false)
    const ratio = async (...flags: string[]): Promise<unknown> =>
      (await runJson('generate', known.text, '--max-tokens', '24', ...flags)).timesDense
    const random = ['--planner', 'random']
    // On a machine that stops for a moment there are too few turns.
    expect((await ratio(...random)) ?? 1).toBeGreaterThan(0)
    for (const flags of [[], [...random, '--quiet'], [...random, '--check', '4']])
      expect(await ratio(...flags)).toBeNull()
  })

  test('a sparsity without a planner is that of shadow', async () => {
    const run = (...flags: string[]) => runJson('generate', known.text, '--max-tokens', '6', ...flags)
    const named = await run('--planner', 'shadow', '--sparsity', '0.9')
    for (const flags of [
      ['--sparsity', '0.9'],
      ['--head-sparsity', '0.9', '--neuron-sparsity', '0.9'],
    ])
      expect(await run(...flags)).toMatchObject({ planner: 'shadow', tokens: named.tokens })
    expect(await run()).toMatchObject({ planner: 'dense', sparsity: 0 })
    expect(await run('--sparsity', '0.9', '--planner', 'dense')).toMatchObject({ planner: 'dense' })
  })

  test('on a terminal the prompt stands dimmed before the text, unless it is a message', async () => {
    const screen = { columns: 80, paint: colours }
    const args = ['generate', known.text, '--max-tokens', '4', '--temperature', '0', '--quiet']
    const { stdout } = await runInside(args, { screen })
    const plain = await runInside(args)
    expect(stdout).toBe(`\x1b[2m${known.text}\x1b[22m${plain.stdout}`)
    const { stdout: bare } = await runInside(args, { screen: { ...screen, paint: plainScreen.paint } })
    expect(bare).toBe(`${known.text}${plain.stdout}`)
    expect((await runInside([...args, '--json'], { screen })).stdout).not.toContain('\x1b')
  })

  test('- reads the prompt from standard input', async () => {
    const args = ['--max-tokens', '4', '--json']
    const input = ['The captain', 'looked at']
    const piped = await runInside(['generate', '-', ...args], { input })
    expect(JSON.parse(piped.stdout)).toMatchObject({ prompt: 'The captain\nlooked at' })
    expect(await runInside(['generate', '-', ...args])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected some text, got none [PROMPT]'),
    })
  })

  test('at a terminal draws tokens at temperature 0.7 with seed 0, unless flags say otherwise', async () => {
    const short = ['generate', known.text, '--max-tokens', '32']
    const opt = await ShadowModel.fromPretrained()
    const drawn = async (options: GenerateOptions): Promise<string> => {
      const { text } = await collectText(opt.generate(known.text, { maxTokens: 32, ...options }))
      return `${known.text}${text}\n`
    }
    const typed = async (...flags: string[]): Promise<readonly string[]> => {
      const { stdout, stderr } = await runInside([...short, ...flags], { screen: terminal })
      return [stdout, stderr.replace(/\d[\d.]* tokens/, 'N tokens')]
    }
    const text = await drawn({ temperature: 0.7, seed: 0 })
    const greedy = await drawn({})
    expect(text).not.toBe(greedy)
    expect(await typed()).toEqual([text, 'dense, N tokens/s, temperature 0.7, seed 0\n'])
    const other = await drawn({ temperature: 0.7, seed: 5 })
    expect(await typed('--seed', '5')).toEqual([other, 'dense, N tokens/s, temperature 0.7, seed 5\n'])
    expect(await typed('--temperature', '0')).toEqual([greedy, 'dense, N tokens/s, greedy\n'])
    const [json, stderr] = await typed('--json')
    expect(JSON.parse(json)).toMatchObject({ text: known.greedy_text, temperature: 0, seed: 0 })
    expect(stderr).toBe('')
    await opt.dispose()
  })

  test('a story ends with </s>, before its most tokens', async () => {
    // Drawn, because greedy text loops.
    const args = ['--temperature', '0.7', '--seed', '0', '--max-tokens', '240']
    expect(await runJson('generate', 'Once upon a time', ...args)).toMatchObject({ end: 'stop' })
  })

  test('prints the same text on two threads', async () => {
    const result = await runInside(['generate', known.text, '--max-tokens', '8', '--threads', '2', '-q'])
    expect(result).toMatchObject({ code: 0, stderr: '' })
    expect(known.greedy_text.startsWith(result.stdout.trimEnd())).toBe(true)
  })

  test('--json is one object with text, tokens and how it ended', async () => {
    const args = ['--max-tokens', '4', '--planner', 'shadow', '--sparsity', '0.2', '--backend', 'reference']
    args.push('--cache', 'int8')
    expect(await runJson('generate', known.text, ...args)).toMatchObject({
      prompt: known.text,
      text: expect.any(String),
      tokens: { length: 4 },
      end: 'length',
      planner: 'shadow',
      sparsity: 0.2,
      cache: 'int8',
      temperature: 0,
      topP: 1,
      seed: 0,
    })
  })

  test('--every auto and --check tell how often a mask was decided, and what was replaced', async () => {
    const shadow = ['--planner', 'shadow', '--sparsity', '0.7', '--max-tokens', '12']
    const once = await runJson('generate', known.text, ...shadow)
    expect([once.decisions, once.checked]).toEqual([1, undefined])
    const auto = await runJson('generate', known.text, ...shadow, '--every', 'auto')
    expect(auto).toMatchObject({ every: 'auto', tokens: { length: 12 } })
    expect([1, 2, 3]).toContain(auto.decisions)
    const dense = await runJson('generate', known.text, '--max-tokens', '12')
    const checked = await runJson('generate', known.text, ...shadow, '--check', '4')
    expect(checked.tokens).toEqual(dense.tokens)
    const counts = ['checks', 'rewound', 'replaced', 'dropped'].map((name) => [name, expect.any(Number)])
    expect(checked).toMatchObject({ check: 4, checked: Object.fromEntries(counts) as object })
    for (const command of [['perplexity'], ['eval', '--tasks', 'copa']])
      expect(await runInside([...command, '--check', '4'])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("unknown option '--check'") as string,
      })
  })

  test('keys and values are int8 by default if weights are; --cache overrides it', async () => {
    const args = ['--max-tokens', '1', '--storage', 'int8']
    expect(await runJson('generate', known.text, ...args)).toMatchObject({ cache: 'int8' })
    expect(await runJson('generate', known.text, ...args, '--cache', 'f32')).toMatchObject({ cache: 'f32' })
    expect(await runJson('generate', known.text, '--max-tokens', '1')).toMatchObject({ cache: 'f32' })
  })

  test('a seed repeats a text, and another seed gives another', async () => {
    const run = async (seed: string): Promise<string> =>
      (await runInside(['generate', 'The', '--temperature', '1', '--max-tokens', '16', '--seed', seed]))
        .stdout
    const [first, second, other] = [await run('1'), await run('1'), await run('2')]
    expect(first.length).toBeGreaterThan(1)
    expect(second).toBe(first)
    expect(other).not.toBe(first)
  })

  test('ctrl-C keeps the text, ends it with a line, and is 130', async () => {
    const { code, stdout, stderr } = await runInside(['generate', known.text, '--max-tokens', '240'], {
      interruptWhen: ({ stdout: printed }) => printed !== '',
    })
    expect(stderr).toBe('shadowllm: interrupted [INTERRUPTED]\n')
    expect(code).toBe(130)
    expect(stdout).toMatch(/^ \w[^\n]*\n$/)
    expect(known.greedy_text.startsWith(stdout.trimEnd().slice(0, 40))).toBe(true)
  })
})

describe('reproduce', () => {
  test('ctrl-C while it evaluates reports what is finished: the predictor, valid JSON, and 130', async () => {
    const output = join(folder, 'stopped.json')
    const predictor = join(folder, 'predictor.safetensors')
    const args = ['reproduce', '--quick', '--examples', '2', '--limit', '400', '--sparsity', '0.5', '--json']
    const files = ['--output', output, '--save-predictor', predictor]
    const { code, stdout, stderr } = await runInside([...args, ...files], {
      interruptWhen: () => existsSync(predictor),
    })
    expect(stderr).toBe('shadowllm: interrupted [INTERRUPTED]\n')
    expect(code).toBe(130)
    const report = JSON.parse(stdout) as { rows: { planner: string }[]; evaluationWindows: number }
    expect(report).toMatchObject({ complete: false, calibrationWindows: 2, provenance: { seed: 0 } })
    expect(report.evaluationWindows).toBeLessThan(400)
    expect(report.rows.length).toBe(report.evaluationWindows === 0 ? 0 : 5)
    expect(readFileSync(output, 'utf8')).toBe(stdout)
    const used = ['--planner', 'shadow', '--predictor', predictor, '--max-tokens', '2', '--quiet']
    expect(await runInside(['generate', 'The', ...used])).toMatchObject({ code: 0, stderr: '' })
  })

  test('ctrl-C with --no-cache leaves no parts behind', async () => {
    const temporary = mkdtempSync(join(folder, 'temporary-'))
    const predictor = join(folder, 'of-no-cache.safetensors')
    const args = 'reproduce --quick --examples 2 --limit 400 --sparsity 0.5 --no-cache'.split(' ')
    let meanwhile: string[] = []
    const { code } = await runCli([...args, '--save-predictor', predictor], {
      env: { TMPDIR: temporary },
      interruptWhen: () => {
        meanwhile = readdirSync(temporary)
        return existsSync(predictor)
      },
    })
    expect([code, meanwhile]).toEqual([130, [expect.stringMatching(/^shadowllm-parts\./)]])
    expect(readdirSync(temporary)).toEqual([])
  })
})

describe('inspect', () => {
  test('lists tensors and the configuration', async () => {
    const contents = await runJson('inspect', 'fixtures/tiny-opt')
    expect(contents).toMatchObject({ parameters: 7_433_216, config: { layers: 8, neurons: 1024 } })
    expect((contents.tensors as object[])[0]).toEqual({
      name: 'model.decoder.embed_positions.weight',
      dtype: 'F16',
      shape: [258, 256],
      byteLength: 132_096,
    })
  })

  test('measures the error of each storage, and refuses an unknown one', async () => {
    const report = await runJson('inspect', 'fixtures/tiny-opt', '--storage', 'int8,int4', '--texts', '1')
    const [exact, int8, int4] = report.storages as { storage: string; kl: number; tokens: number }[]
    expect(exact).toMatchObject({ storage: 'f32', kl: 0, tokens: 127 })
    expect(int8.storage).toBe('int8')
    expect(int8.kl).toBeLessThan(0.001)
    expect(int4).toMatchObject({ storage: 'int4', tokens: 127 })
    expect(int4.kl).toBeGreaterThan(int8.kl)
    expect(int4.kl).toBeLessThan(0.05)
    const { code, stderr } = await runInside(['inspect', 'fixtures/tiny-opt', '--storage', 'int3'])
    expect([code, stderr]).toEqual([2, expect.stringContaining('--storage: expected names of f32, bf16')])
  })

  test.each([true, false])('counts an own head and no tied one: tied %s', async (tied) => {
    const sizes = { layers: 1, width: 4, heads: 1, neurons: 8, vocabulary: 16, positions: 8 }
    const config = { ...makeConfig(sizes), tied }
    const path = join(folder, `tied ${tied}`)
    mkdirSync(path)
    const fields = { hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 1, ffn_dim: 8 }
    const words = { model_type: 'opt', vocab_size: 16, max_position_embeddings: 8, tie_word_embeddings: tied }
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...words, ...fields }))
    // A head is written either way: where it is tied, it is one name more of the same numbers.
    const shapes = parameterShapes({ ...config, tied: false })
    const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)
    const tensors = [...shapes].map(([name, shape]): [string, TensorToWrite] => {
      return [name, { dtype: 'F32', shape, data: new Float32Array(size(shape)) }]
    })
    await writeSafetensors(join(path, 'model.safetensors'), new Map(tensors))
    const own = [...parameterShapes(config).values()].reduce((sum, shape) => sum + size(shape), 0)
    expect([...shapes.keys()]).toContain('lm_head.weight')
    expect(await runJson('inspect', path)).toMatchObject({ parameters: own, config: { tied } })
  })

  test('counts tied weights of a .bin once, and names them', async () => {
    const { code, stdout } = await runInside(['inspect', `${tinyFolder}/pytorch_model.bin`])
    expect(stdout).toContain('37 tensors, 22,432 parameters')
    expect(stdout).toMatch(/lm_head\.weight .* same as model\.decoder\.embed_tokens\.weight/)
    expect(code).toBe(0)
  })
})

describe('doctor', () => {
  test('reports every backend as working, or names what is missing', async () => {
    const report = await runJson('doctor')
    expect(report).toMatchObject({ runtime: { name: expect.any(String) }, wasm: { simd: true } })
    const states = report.backends as {
      name: BackendName
      works: boolean
      device: string | null
      absent: boolean
      reason: string
    }[]
    expect(states.map(({ name }) => name)).toEqual(backendNames)
    for (const { name, works, device, absent, reason } of states) {
      expect(works || (absent && !portableNames.includes(name)), `${name}: ${reason}`).toBe(true)
      if (works && name.startsWith('cuda'))
        expect(device).toMatch(/, compute capability \d+\.\d, driver for CUDA \d+\.\d$/)
      else expect(device).toBeNull()
      if (absent) expect(reason).toMatch(/^backend [a-z-]+: expected .*, got none/)
    }
  })

  test('measures whether threads pay, or states why there is one', async () => {
    const { available, auto, gain, reason } = (await runJson('doctor')).threads as ThreadCheck
    expect(auto).toBe(Math.min(available, 4))
    if (auto > 1) expect(Math.min(...Object.values(gain ?? {}))).toBeGreaterThan(0)
    else expect(reason).toEqual(expect.any(String))
  })

  test.each([
    [
      { available: 1, auto: 1, gain: null, reason: 'no more run at once here' },
      '1: no more run at once here',
    ],
    [
      { available: 8, auto: 4, gain: { oneToken: 1.5, manyTokens: 0.4 }, reason: null },
      '4 of 8; by sharing, products of one token are now 1.50 x as fast (shared), of many 0.40 x as fast (left to one thread)',
    ],
  ])('is one line', (found, line) => expect(describeThreads(found)).toBe(line))

  test('multiplies matrices of the sizes it says, by one thread and by several in turns', () => {
    const calls: [string, ...(readonly number[])[]][] = []
    const player = (name: string): Backend => {
      const linear = (...[y, x, weight, bias, rows]: Parameters<Backend['ops']['linear']>): void => {
        expect([bias, rows]).toEqual([null, null])
        calls.push([name, y.shape, x.shape, valuesOf(weight).shape])
      }
      return { allocate: (_: string, shape: number[]) => ({ shape }), ops: { linear } } as never
    }
    gainOf(player('one'), player('several'), [2, 3, 5])
    expect(calls.slice(0, 4)).toEqual(
      ['one', 'several', 'one', 'several'].map((name) => [name, [2, 3], [2, 5], [3, 5]]),
    )
    expect(calls.length % 2).toBe(0)
  })
})

describe('parity', () => {
  const [variant] = variants
  const golden = `${tinyFolder}/cases/${casesOf[variant][0]}.safetensors`
  const exportTo = async (name: string, backend: string): Promise<string> => {
    const output = join(folder, name)
    const args = ['parity', 'export', '-m', tinyFolder, '--cases', golden, '-o', output, '--backend', backend]
    expect(await runInside(args)).toMatchObject({ code: 0, stderr: '' })
    return output
  }

  test('backends pass against the golden file, and against each other bit for bit', async () => {
    const [first, second] = await Promise.all(
      portableNames.map((name) => exportTo(`${name}.safetensors`, name)),
    )
    const { code, stdout, stderr } = await runInside(['parity', 'check', golden, first])
    expect(stdout).toMatch(/\npassed: 29 tensors within tolerance\n$/)
    expect([code, stderr]).toEqual([0, ''])
    expect(await runJson('parity', 'check', first, second, '--tolerance', '0')).toMatchObject({
      passed: true,
      worst: null,
    })
  })

  test('one wrong number exits with code 1, naming the tensor and the index', async () => {
    const path = await exportTo('corrupted.safetensors', 'wasm')
    const bytes = readFileSync(path)
    const length = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
      string,
      { data_offsets: [number, number] }
    >
    const at = 8 + length + header.logits.data_offsets[0] + 4 * (99 + 7)
    bytes.writeFloatLE(bytes.readFloatLE(at) + 1e-3, at)
    writeFileSync(path, bytes)
    const { code, stdout, stderr } = await runInside(['parity', 'check', golden, path])
    expect(stdout).toMatch(/^FAIL  logits /m)
    expect(stdout).toMatch(/\nfailed: 1 of 29 tensors past tolerance, worst logits at \[0, 1, 7\]: .*\n$/)
    expect([code, stderr]).toEqual([1, ''])
  })
})

test('no file is left in the checkout or beside an output', () => {
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  expect(readdirSync(root)).not.toContain('x')
})
