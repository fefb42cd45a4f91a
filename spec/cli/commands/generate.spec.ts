/**
 * `shadowllm generate`: the text, what it says of it, and that it stops when it is told to. Tests src/cli/commands/generate.ts and
 * src/cli/writing_flags.ts.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { describeMemory, timesDense, turnsFit } from '../../../src/cli/commands/generate.ts'
import type { ProgressUpdate } from '../../../src/cli/progress.ts'
import { collectText, ShadowModel, type GenerateOptions } from '../../../src/library/index.ts'
import { fixtures } from '../../golden/golden.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'
import { runInside, runJson } from '../run_inside.ts'

const [known] = JSON.parse(readFileSync(`${fixtures}tiny-opt/expected.json`, 'utf8')) as {
  text: string
  greedy_ids: number[]
  greedy_text: string
}[]

const folder = temporaryFolder()

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** A terminal without colours. */
const terminal = { columns: 80, hasColours: false }

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
    expect(stderr).toMatch(
      /^44 % of the layers' weights skipped by random, (\d[\d.]* tokens\/s|\d+\.\d × as fast as dense|about as fast as dense), greedy\n$/,
    )
  })

  test('says how many times as fast as dense it was in the median turn, where dense was asked', async () => {
    const own = [10, 10, 10, 10, 10, 10]
    const dense = [20, 20, 20, 30, 11, 20]
    expect(timesDense({ own, dense })).toBe(2)
    expect(timesDense({ own, dense: dense.with(4, 9) })).toBe(1)
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
    const nothing = [...random, '--sparsity', '0']
    for (const flags of [[], nothing, [...random, '--quiet'], [...random, '--check', '4']])
      expect(await ratio(...flags)).toBeNull()
  })

  test('the dense model is asked for half the time of the text at most', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    // No time passes but that of tokens: two milliseconds each, four of a dense one.
    const { generate } = ShadowModel.prototype
    const asked = { own: 0, dense: 0 }
    vi.spyOn(ShadowModel.prototype, 'generate').mockImplementation(function (this: ShadowModel, ...args) {
      const who = args[1]?.planner === 'dense' ? 'dense' : 'own'
      const steps = generate.apply(this, args)
      const next = steps.next.bind(steps)
      steps.next = () => {
        asked[who]++
        vi.advanceTimersByTime(who === 'dense' ? 4 : 2)
        return next()
      }
      return steps
    })
    const report = await runJson('generate', known.text, '--max-tokens', '60', '--planner', 'random')
    expect(report).toMatchObject({ tokens: { length: 60 }, tokensPerSecond: 500, timesDense: 2 })
    // Half of 120 milliseconds are ten turns of six; before them the text was asked for its end too.
    expect(asked).toEqual({ own: 60 + 1 + 10, dense: 10 })
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
    expect(await run('--sparsity', '0', '--planner', 'dense')).toMatchObject({ planner: 'dense' })
  })

  test('on a terminal the prompt stands dimmed before the text, unless it is a message', async () => {
    const screen = { columns: 80, hasColours: true }
    const args = ['generate', known.text, '--max-tokens', '4', '--temperature', '0', '--quiet']
    const { stdout } = await runInside(args, { screen })
    const plain = await runInside(args)
    expect(stdout).toBe(`\x1b[2m${known.text}\x1b[22m${plain.stdout}`)
    const { stdout: bare } = await runInside(args, { screen: terminal })
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

  test('a terminal gets the text of a pipe: the greedy one, unless a temperature is given', async () => {
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
    const greedy = await drawn({})
    expect(await typed()).toEqual([greedy, 'dense, N tokens/s, greedy\n'])
    expect(`${known.text}${(await runInside(short)).stdout}`).toBe(greedy)
    const other = await drawn({ temperature: 0.7, seed: 5 })
    expect(other).not.toBe(greedy)
    expect(await typed('--temperature', '0.7', '--seed', '5')).toEqual([
      other,
      'dense, N tokens/s, temperature 0.7, seed 5\n',
    ])
    const [json, stderr] = await typed('--json')
    expect(JSON.parse(json)).toMatchObject({ text: known.greedy_text, temperature: 0, seed: 0 })
    expect(stderr).toBe('')
    await opt.dispose()
  })

  test('a planner that gains nothing of this model says why', async () => {
    const { stderr } = await runInside(['generate', 'a', '--planner', 'cats', '--max-tokens', '3'])
    expect(stderr).toMatch(
      /^after ReLU most gates are zero, [^\n]*\n0 % of the layers' weights skipped by cats, [^\n]*\n$/,
    )
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
    // Drafts skip as much as the text did, and the line says so, with the counts.
    expect([checked.skipped, Number(checked.skipped) > 0.3]).toEqual([once.skipped, true])
    const { stderr } = await runInside(['generate', known.text, ...shadow, '--check', '4'])
    expect(stderr).toMatch(
      /checked dense, drafts by shadow skip \d\d % of the layers' weights, [\d.]+ tokens\/s, greedy; \d+ of \d+ drafted tokens replaced, \d+ dropped\n$/,
    )
    for (const command of [['perplexity'], ['eval', '--tasks', 'copa']])
      expect(await runInside([...command, '--check', '4'])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('--check: unknown option') as string,
      })
  })

  test('keys and values are int8 by default if weights are; --cache overrides it', async () => {
    const args = ['--max-tokens', '1', '--storage', 'int8']
    expect(await runJson('generate', known.text, ...args)).toMatchObject({ cache: 'int8' })
    expect(await runJson('generate', known.text, ...args, '--cache', 'f32')).toMatchObject({ cache: 'f32' })
    expect(await runJson('generate', known.text, '--max-tokens', '1')).toMatchObject({ cache: 'f32' })
  })

  test('a flag of how tokens are drawn is refused where none is drawn', async () => {
    for (const [flag, value] of [
      ['--top-k', '4'],
      ['--top-p', '0.5'],
      ['--min-p', '0.5'],
    ]) {
      const args = ['generate', 'a', '--max-tokens', '1', flag, value]
      const { code, stdout, stderr } = await runInside(args)
      expect([code, stdout]).toEqual([2, ''])
      expect(stderr).toContain(`${flag}: expected a temperature beside it, `)
      expect((await runInside([...args, '--temperature', '0'])).code).toBe(0)
    }
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

  test('ctrl-C while the model is read ends the reading', async () => {
    const seen: ProgressUpdate[] = []
    const { code, stdout } = await runInside(['generate', known.text, '--max-tokens', '1'], {
      interruptWhen: ({ update }) => update !== null && seen.push(update) > 0,
    })
    expect([code, stdout]).toEqual([130, ''])
    const last = seen.at(-1) as ProgressUpdate
    expect(last.stage).toBe('loading')
    expect(last.done).toBeLessThan(last.total)
  })

  test('says what keys and values take before a long text takes it, and nothing of a short one', async () => {
    await using opt = await ShadowModel.fromPretrained()
    const { model } = opt
    expect(describeMemory(model, 240)).toBeNull()
    const config = { ...model.config, layers: 30, keyHeads: 3, headSize: 64 }
    const large = Object.assign(Object.create(model) as typeof model, { config })
    // 2 x 30 layers x 3 heads x 32,768 tokens of 64 numbers, or of 64 bytes and a scale.
    expect(describeMemory(large, 32_768)).toBe('keys and values of 32,768 tokens: 1.4 GiB as f32')
    expect(describeMemory(large, 32_768, 'int8')).toBe('keys and values of 32,768 tokens: 383 MiB as int8')
  })

  test('a text that the model ends at once is said to be none', async () => {
    const [plain, none] = await Promise.all(
      ['{"2":0}', '{"2":100}'].map((bias) =>
        runInside(['generate', 'a', '--max-tokens', '2', '--logit-bias', bias]),
      ),
    )
    expect(plain.stderr).toMatch(/^dense, [^\n]+\n$/)
    expect(none).toEqual({
      code: 0,
      stdout: '',
      stderr: 'no text: the model ended it at once; greedy, 1 biased token\n',
    })
    const { stderr } = await runInside(['generate', 'a', '--max-tokens', '0'])
    expect(stderr).toBe('the text is too short to measure a speed; greedy\n')
  })

  test('a text that is longer than the context is refused with both lengths and what helps', async () => {
    const refused = async (prompt: string, ...flags: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runInside(['generate', prompt, ...flags])
      expect([code, stdout]).toEqual([2, ''])
      return stderr
    }
    expect(await refused('x '.repeat(400))).toMatch(
      /^shadowllm: prompt: expected fewer than 256 tokens \(the model's context\), got \d+; shorten it \[CONTEXT_LENGTH\]\n$/,
    )
    expect(await refused('a', '--max-tokens', '255')).toBe(
      "shadowllm: prompt and --max-tokens: expected at most 256 tokens together (the model's context), got 2 + 255; after this prompt 254 fit [CONTEXT_LENGTH]\n",
    )
    const session = join(folder, 'full.session')
    await runInside(['generate', 'x '.repeat(100), '--max-tokens', '2', '--session', session])
    expect(await refused('x '.repeat(100), '--session', session)).toMatch(
      /expected fewer than \d+ tokens \(the model's context less the \d+ of the session\), got \d+; shorten it, or begin another session \[/,
    )
  })

  test('a session that can no longer be saved leaves the text on a line of its own', async () => {
    const place = mkdtempSync(join(folder, 'place-'))
    const { code, stdout, stderr } = await runInside(
      ['generate', known.text, '--max-tokens', '3', '--session', join(place, 'a.session')],
      {
        interruptWhen: ({ stdout: printed }) => (
          printed !== '' && rmSync(place, { recursive: true, force: true }),
          false
        ),
      },
    )
    expect([code, stdout.split('\n').length]).toEqual([2, 2])
    expect(stderr).toMatch(/^shadowllm: [^\n]+ got a place that takes no new files \[OUTPUT\]\n$/)
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

test.each([
  ['session', '--session', 'SESSION'],
  ['predictor', '--predictor', 'PREDICTOR_CARD'],
])('a file that is no %s is refused before a model is read', async (_, flag, code) => {
  const load = vi.spyOn(ShadowModel, 'fromPretrained')
  const file = join(folder, 'other')
  writeFileSync(file, 'other')
  const planner = flag === '--predictor' ? ['--planner', 'shadow'] : []
  const { code: exit, stderr } = await runInside(['generate', 'a', flag, file, ...planner])
  expect([exit, stderr.split('\n').length]).toEqual([3, 2])
  expect(stderr).toContain(`[${code}]`)
  expect(load).not.toHaveBeenCalled()
  load.mockRestore()
})
