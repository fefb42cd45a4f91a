/**
 * Perplexity of texts: every row scores the same tokens, masks see their prompt only, distances to dense are zero for dense. What is of
 * another shape than types say is refused in a line, by it and the functions that are used with it.
 * text_perplexity_rows.spec.ts computes each number of a report by hand.
 *
 * Tests src/evaluation/evaluate.ts, src/evaluation/score_window.ts, src/evaluation/window_evaluator.ts,
 * src/results/method.ts and src/results/ratio.ts.
 */
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { randomPredictor } from '../../src/bench/predictors.ts'
import {
  compareMethods,
  makeMethod,
  planMethod,
  type CompareOptions,
  type Method,
} from '../../src/results/method.ts'
import { ratioOf } from '../../src/results/ratio.ts'
import { DenseLogits, readLogits, scoreWindow, type ScoredLogits } from '../../src/evaluation/score_window.ts'
import { perplexityOf } from '../../src/evaluation/tally.ts'
import { taskByName } from '../../src/data/tasks/index.ts'
import { runTasks, type RunOptions } from '../../src/evaluation/tasks/run.ts'
import { WindowPlanner } from '../../src/evaluation/window_evaluator.ts'
import {
  textPerplexity,
  type TextPerplexityOptions,
  type TextPerplexityReport,
} from '../../src/evaluation/text_perplexity.ts'
import { streamWindows } from '../../src/data/windows.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { denseMask } from '../../src/masks/mask.ts'
import type { MaskPlanner, PromptView } from '../../src/masks/planner.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { Random } from '../../src/tensor/random.ts'
import { encodeLetters, smallConfig, useSmallModel } from './small_model.ts'

const { positions, vocabulary, bosId } = smallConfig
const small = useSmallModel('reference')
let model: LanguageModel
beforeAll(() => void ({ model } = small.source()))

const documents = Array.from({ length: 3 }, (_, i) => {
  const random = new Random(i)
  const words = Array.from({ length: 10 + 5 * i }, () => 'abcdefgh'.slice(0, 1 + random.below(8)))
  return { name: `page ${i}`, genre: 'prose', text: words.join(' ') }
})
const text = textOfDocuments('pages', documents)

/** A prompt and eleven tokens more. */
const tokens = new Random(5).permutation(20).map((id) => id + 5)

const methodsOf = (more: Partial<CompareOptions> = {}): Method[] =>
  compareMethods(model, {
    planners: ['random', 'oracle'],
    sparsities: [0.5],
    scope: 'global',
    criterion: 'plainact',
    ...more,
  })

const measure = (
  more: Partial<TextPerplexityOptions> = {},
  signal?: AbortSignal,
  onProgress?: () => void,
): Promise<TextPerplexityReport> =>
  textPerplexity(
    {
      ...small.source(),
      text,
      methods: methodsOf(),
      prompt: 6,
      ...more,
    },
    onProgress,
    signal,
  )

/** Nats of tokens from `from` on, by the model's own loss. */
const natsOf = (window: Int32Array, from: number): number =>
  scoreWindow(model, { tokens: window, promptLength: from, words: 0 }).nll

describe('scored logits', () => {
  const read = (start: number, prompt = start, planner: MaskPlanner | null = null): ScoredLogits =>
    readLogits(model, { tokens, promptLength: prompt, start, words: 0 }, { planner })
  const dense = (start: number): DenseLogits => new DenseLogits(read(start), tokens, vocabulary)

  test('have the negative log-likelihood of the loss, from any position', () => {
    for (const start of [1, 7, 19])
      expect(dense(start).scoreFrom(start).nll).toBeCloseTo(natsOf(tokens, start), 3)
    expect(dense(1).scoreFrom(7)).toMatchObject({ nll: dense(7).scoreFrom(7).nll, tokens: 13 })
  })

  test('of the dense model have KL 0 to themselves, others do not', () => {
    expect(dense(4).compare(read(8))).toEqual({ ...dense(4).scoreFrom(8), kl: 0, firstDifference: null })
    const [, method] = methodsOf({ planners: ['random'], sparsities: [0.9] })
    const random = new WindowPlanner(model, { tokens, promptLength: 6 }, 1).plan(method, {})
    const score = dense(8).compare(read(8, 6, random))
    expect(score.kl).toBeGreaterThan(0.1)
    expect(score.agreed).toBeLessThan(12)
    expect(score.nll).not.toBe(dense(8).scoreFrom(8).nll)
  })

  test('show a planner its prompt, and a leaky one all fed tokens', () => {
    const seen: number[][] = []
    const planner = {
      name: 'spy',
      by: 'attention' as const,
      choose({ ids }: PromptView) {
        seen.push([...ids])
        return denseMask(model.shape)
      },
    }
    read(8, 6, planner)
    read(8, 6, { ...planner, leaky: true })
    expect(seen).toEqual([[...tokens.subarray(0, 6)], [...tokens.subarray(0, -1)]])
  })
})

describe('whole texts', () => {
  test('have one row if there are no planners, for which nothing is kept back', async () => {
    const { whole, rows, protocol } = await measure({ methods: methodsOf({ planners: [] }) })
    expect(rows).toMatchObject([{ planner: 'dense', wordPerplexity: whole.wordPerplexity, klPerToken: 0 }])
    expect(protocol).toMatchObject({ prompt: null, prefix: 'start', stride: positions })
  })

  test.each([
    ['start', 20],
    ['none', 32],
    ['window', 9],
  ] as const)('per token of the stream, </s>: %s, stride %i', async (prefix, stride) => {
    const methods = methodsOf({ planners: [] })
    const { whole } = await measure({ protocols: ['stream'], prefix, stride, methods })
    const ids = [...(prefix === 'start' ? [bosId] : []), ...encodeLetters(text.stream)]
    const windows = streamWindows(Int32Array.from(ids), positions, stride, prefix === 'window' ? [bosId] : [])
    const nats = windows.reduce((sum, window) => sum + natsOf(window.tokens, window.from), 0)
    const scored = windows.reduce((sum, window) => sum + window.tokens.length - window.from, 0)
    expect(whole).toMatchObject({ streamTokens: scored, wordPerplexity: null })
    expect(Number(whole.tokenPerplexity) / Math.exp(nats / scored)).toBeCloseTo(1, 4)
  })
})

test('pages too short to be scored have no numbers, and the stream has its own', async () => {
  const short = documents.map((document) => ({ ...document, text: 'a b' }))
  const { rows } = await measure({ text: textOfDocuments('short', [...short, ...short]) })
  expect(rows.length).toBeGreaterThan(1)
  for (const row of rows) {
    expect(row.tokenPerplexity).toBeGreaterThan(1)
    expect(row).toMatchObject({
      wordPerplexity: null,
      wordPerplexityError: null,
      bytePerplexity: null,
      bitsPerByte: null,
    })
  }
})

describe('from JavaScript', () => {
  const planner = (name: unknown): unknown => ({
    name,
    by: 'attention',
    choose: () => denseMask(model.shape),
  })
  test.each<[string, object, string]>([
    ['text: expected a text, or { name, stream, pages }, got a list of 1', { text: ['x'] }, 'OPTION_TYPE'],
    [
      'text: expected a text, or { name, stream, pages }, got an object without stream (did you mean it by streem?)',
      { text: { name: 'a', pages: [], streem: 'b' } },
      'OPTION_TYPE',
    ],
    ['unknown option method (did you mean methods?): expected a known one', { method: [] }, 'OPTION_NAME'],
    [
      'methods: expected a list of methods of makeMethod or compareMethods, or planner objects, got the text griffin',
      { methods: 'griffin' },
      'OPTION_TYPE',
    ],
    [
      'methods: expected a list of methods of makeMethod or compareMethods, or planner objects, got a list of 1, of which entry 0 is an object without a name for its row',
      { methods: [planner(undefined)] },
      'OPTION_TYPE',
    ],
    ['model: expected a loaded model, got undefined', { model: undefined }, 'OPTION_TYPE'],
    [
      'model: expected a loaded model, got an object: that of a ShadowModel is its field model',
      { model: { model: {} } },
      'OPTION_TYPE',
    ],
    ['context: expected a number, got the text 9', { context: '9' }, 'CONTEXT_LENGTH'],
    [
      'prompt: expected fewer tokens than the longest window of the text has, which are 5, got 5',
      { text: 'abcd', context: 12, prompt: 5 },
      'PROMPT',
    ],
  ])('%s', async (message, more, code) => {
    await expect(measure(more)).rejects.toMatchObject({ message, code, exitCode: 2 })
  })

  test.each<[string, unknown, string]>([
    [
      'unknown option planner (did you mean planners?): expected a known one',
      { planner: ['random'] },
      'OPTION_NAME',
    ],
    ['planners: expected a list, got undefined', { sparsities: [0.5] }, 'OPTION_TYPE'],
    [
      'sparsities: expected a list of numbers from 0 to 1, got a list of 2, of which entry 1 is 7 (7 % is 0.07)',
      { planners: ['random'], sparsities: [0.5, 7] },
      'SPARSITY',
    ],
    ['options: expected an object, got undefined', undefined, 'OPTIONS'],
  ])('compareMethods: %s', (message, options, code) => {
    expect(() => compareMethods(model, options as CompareOptions)).toThrow(
      expect.objectContaining({ message, code, exitCode: 2 }),
    )
  })

  test('runTasks refuses a planner object, and names that are none of its options', async () => {
    const run = (options: object): Promise<unknown> => runTasks(options as RunOptions)
    await expect(run({ task: [] })).rejects.toThrow('unknown option task (did you mean tasks?)')
    const rest = { model, tasks: [], seed: 0, config: {}, provenance: {} }
    await expect(run({ ...rest, methods: [planner('mine')] })).rejects.toThrow(
      /^methods: expected a list of methods .* entry 0 is an object without planner/,
    )
    expect(() => taskByName('piq')).toThrow(/^task: expected one of .*, got piq \(did you mean piqa\?\)$/)
    expect(() => taskByName(Symbol('s') as never)).toThrow(expect.objectContaining({ code: 'TASK_NAME' }))
  })

  test.each<[unknown[], string]>([
    [[{}], 'model: expected a loaded model'],
    [['model'], 'window: expected tokens, promptLength and words, got undefined'],
    [
      ['model', { tokens: [1.5], promptLength: 1, words: 1 }],
      'whose tokens is a list of 1, not a list of ids',
    ],
    [
      ['model', { tokens: [1, 2], promptLength: 1, words: 1 }, { planner: 'griffin' }],
      'whose planner is the text griffin',
    ],
  ])('scoreWindow %j', (wrong, message) => {
    const [first, window, options] = wrong.map((one) => (one === 'model' ? model : one)) as Parameters<
      typeof scoreWindow
    >
    expect(() => scoreWindow(first, window, options)).toThrow(message)
  })

  test('a method with a misspelt field is refused by the near name', () => {
    expect(() => makeMethod({ planner: 'random', sparsty: 0.5 } as never)).toThrow(
      'unknown field sparsty (did you mean sparsity?): expected a known one',
    )
    expect(() => makeMethod({ planner: 'random' } as never)).toThrow('sparsity: expected ')
  })
})

test('a text given as it is is the stream of a text without pages, and the hash is that of its words', async () => {
  const { stream } = text
  const given = await measure({ text: stream, windows: 2 })
  const { rows, provenance } = await measure({ text: { name: 'text', pages: [], stream }, windows: 2 })
  expect(given.rows).toEqual(rows)
  expect(given.protocol.windows).toEqual({ stream: 2 })
  expect(given.provenance.data).toEqual(provenance.data)
  const other = await measure({ text: `${stream}a`, windows: 2 })
  expect(other.provenance.data.hash).not.toBe(provenance.data.hash)
  await expect(measure({ text: ' ' })).rejects.toMatchObject({ code: 'TEXT_EMPTY' })
})

test('a planner object has a row with its own name, and the numbers of the method that would make it', async () => {
  const [, griffin] = methodsOf({ planners: ['griffin'], criterion: 'none' })
  const own = planMethod(model, griffin, {}) as MaskPlanner
  const { rows } = await measure({
    methods: [...methodsOf({ planners: ['griffin'] }), { ...own, name: 'mine' }],
  })
  const { planner, criterion, scope, sparsity, ...numbers } = rows[1]
  expect(planner).toBe('griffin')
  expect(scope).toBe('per-layer')
  expect([criterion, sparsity]).toEqual(['none', 0.5])
  expect(numbers.klPerToken).toBeGreaterThan(0)
  expect(rows[2]).toEqual({
    ...numbers,
    planner: 'mine',
    isGiven: true,
    criterion: 'none',
    scope: null,
    sparsity: null,
  })
  const alone = await measure({ methods: [{ ...own, name: 'mine' }] })
  expect(alone.rows).toEqual([rows[2]])
})

describe('rows', () => {
  test('over a cache of int8 are compared with the dense model over one of float32', async () => {
    const methods = methodsOf({ planners: [] })
    const exact = await measure({ methods })
    const { rows, whole, protocol } = await measure({ methods, cache: 'int8' })
    expect(whole).toEqual(exact.whole)
    expect([exact.protocol.cache, protocol.cache]).toEqual(['f32', 'int8'])
    expect(exact.rows[0].klPerToken).toBe(0)
    expect(rows[0].klPerToken).toBeGreaterThan(0)
    expect(rows[0].klPerToken).toBeLessThan(1e-3)
    expect(rows[0].tokenPerplexity).not.toBe(exact.rows[0].tokenPerplexity)
  })

  test('score the same tokens, dense first, and say what they skipped', async () => {
    const { rows, protocol, complete, provenance } = await measure()
    expect(rows.map(({ planner }) => planner)).toEqual(['dense', 'random', 'oracle'])
    expect(protocol.prompt).toBe(6)
    expect(complete).toBe(true)
    expect(provenance.data.hash).toMatch(/^[0-9a-f]{64}$/)
    const [dense, random, oracle] = rows
    expect(dense).toMatchObject({ klPerToken: 0, agreement: 1, firstDifference: null, criterion: 'none' })
    expect(oracle).toMatchObject({ criterion: 'plainact', sparsity: 0.5 })
    expect([random.leaky, oracle.leaky]).toEqual([false, false])
  })

  test('of windows of a chosen length, spread evenly over the text', async () => {
    const methods = methodsOf({ planners: [] })
    const of = (more: Partial<TextPerplexityOptions>) =>
      measure({ protocols: ['stream'], prefix: 'none', methods, ...more })
    const { whole, protocol } = await of({ context: 10, windows: 3 })
    const cut = streamWindows(Int32Array.from(encodeLetters(text.stream)), 10, 10)
    const third = cut.length / 3
    const chosen = [0, 1, 2].map((i) => cut[Math.floor((i + 0.5) * third)])
    const nats = chosen.reduce((sum, window) => sum + natsOf(window.tokens, window.from), 0)
    const scored = chosen.reduce((sum, window) => sum + window.tokens.length - window.from, 0)
    expect(protocol).toMatchObject({ context: 10, stride: 10, windows: { stream: 3 } })
    expect(whole.streamTokens).toBe(scored)
    expect(Number(whole.tokenPerplexity) / Math.exp(nats / scored)).toBeCloseTo(1, 4)
    // Mutants: the first windows, or those at the ends of the thirds, are others.
    for (const others of [cut.slice(0, 3), [1, 2, 3].map((i) => cut[Math.floor(i * third) - 1])])
      expect(others.map(({ tokens }) => tokens.join())).not.toEqual(chosen.map(({ tokens }) => tokens.join()))
    expect((await of({ context: 10, windows: 1000 })).whole).toEqual((await of({ context: 10 })).whole)
    expect((await of({})).protocol.context).toBe(positions)
    for (const context of [1, positions + 1, 2.5])
      await expect(of({ context })).rejects.toThrow(`context: expected 2 to 32 tokens, got ${context}`)
    for (const windows of [0, 1.5])
      await expect(of({ windows })).rejects.toThrow(`windows: expected at least 1, got ${windows}`)
  })

  test('of heads alone and of neurons alone skip no other units', async () => {
    const mean = { shape: model.shape, heads: new Float32Array(12), neurons: new Float32Array(72) }
    const rowsOf = async (more: Partial<CompareOptions>) =>
      (
        await measure({
          protocols: ['stream'],
          sources: { mean },
          methods: methodsOf({ planners: ['static', 'random'], sources: { mean }, ...more }),
        })
      ).rows.slice(1)
    const neurons = await rowsOf({ headSparsity: 0 })
    const heads = await rowsOf({ neuronSparsity: 0 })
    for (const { achieved } of neurons) expect([achieved.heads, achieved.neurons > 0.2]).toEqual([0, true])
    for (const { achieved } of heads) expect([achieved.neurons, achieved.heads > 0.2]).toEqual([0, true])
    // Static is what others are compared with, at the same sparsity.
    const [constant, random] = neurons
    expect(constant.klOverStatic).toBe(null)
    const total = (of: 'kl' | 'tokens'): number => random.units.reduce((sum, unit) => sum + unit[of], 0)
    expect(total('kl') / total('tokens')).toBeCloseTo(random.klPerToken, 9)
    expect(random.units.map(({ tokens }) => tokens)).toEqual(constant.units.map(({ tokens }) => tokens))
    expect(random.klOverStatic?.value).toBeCloseTo(random.klPerToken - constant.klPerToken, 9)
    const alone = (await measure()).rows
    expect(alone.map(({ klOverStatic }) => klOverStatic)).toEqual(alone.map(() => null))
  })

  test('are equal when simulated, and differ for another seed', async () => {
    const rows = (await measure()).rows
    expect((await measure({ mode: 'simulate' })).rows).toEqual(rows)
    const other = (await measure({ seed: 1 })).rows
    expect(other[1].tokenPerplexity).not.toBe(rows[1].tokenPerplexity)
    expect(other[2].tokenPerplexity).toBe(rows[2].tokenPerplexity)
  })

  test('of leaky planners score all tokens', async () => {
    const { rows, whole, protocol } = await measure({ methods: methodsOf({ leaky: true }) })
    expect(protocol.prompt).toBe(null)
    expect(rows[0]).toMatchObject({ leaky: false, tokenPerplexity: whole.tokenPerplexity })
    expect(rows[1]).toMatchObject({ leaky: true })
  })

  test('of an interrupted run cover the windows that all of them scored', async () => {
    const stop = new AbortController()
    let told = 0
    const report = await measure({}, stop.signal, () => ++told === 3 && stop.abort())
    expect(report).toMatchObject({ complete: false, protocol: { windows: { page: 2, stream: 0 } } })
    expect(report.rows).toHaveLength(3)
    expect(report.rows[0]).toMatchObject({ tokenPerplexity: null, wordPerplexity: expect.any(Number) })
    const atOnce = await measure({}, AbortSignal.abort())
    expect(atOnce.rows).toEqual([])
    const before = new AbortController()
    const begun = vi.spyOn(model, 'begin')
    await measure({}, before.signal, () => before.abort())
    expect(begun, 'no window is run after the signal').not.toHaveBeenCalled()
    begun.mockRestore()
  })

  test('name the criterion that a planner learnt or uses', () => {
    const mean = { shape: model.shape, heads: new Float32Array(12), neurons: new Float32Array(72) }
    const predictor = randomPredictor('shadow', smallConfig, model.backend, 'f32', 1)
    const criteriaOf = (criterion: string): string[] =>
      methodsOf({
        planners: ['static', 'oracle', 'random', 'shadow'],
        criterion,
        sources: { mean, predictors: [predictor] },
      }).map((method) => method.criterion)
    expect(criteriaOf('plainact')).toEqual([
      'none',
      'plainact',
      'plainact',
      'none',
      predictor.config.criterion,
    ])
    expect(criteriaOf('fisher')).toEqual(['none', 'fisher', 'fisher', 'none', predictor.config.criterion])
    predictor.dispose()
  })

  test('refuse sizes that do not fit', async () => {
    await expect(measure({ prompt: positions })).rejects.toThrow('prompt: expected 1 to 31 tokens, got 32')
    await expect(measure({ stride: positions + 1 })).rejects.toThrow('stride: expected 1 to 32 tokens')
    expect(() => methodsOf({ planners: ['static'] })).toThrow(/^planner static: expected the mean scores/)
  })
})

test('an error bar is that of a ratio of sums: 0 if all units agree, more if not', () => {
  expect(ratioOf([2, 4, 6], [1, 2, 3])).toEqual({ value: 2, error: 0 })
  // Equal sizes: the standard error of a mean.
  expect(ratioOf([1, 3], [1, 1])).toEqual({ value: 2, error: 1 })
  expect(ratioOf([1], [1]).error).toBe(NaN)
  expect(perplexityOf({ value: 0, error: 0.5 })).toEqual({ value: 1, error: 0.5 })
  expect(perplexityOf({ value: 0, error: NaN })).toEqual({ value: 1, error: null })
})
