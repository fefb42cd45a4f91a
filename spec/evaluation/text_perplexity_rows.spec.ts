/**
 * Each number of a perplexity report is computed again by hand: windows by their offsets in the text, logits token by token,
 * log-probabilities, KL and standard errors by plain loops in float64.
 *
 * Tests src/evaluation/text_perplexity.ts and src/evaluation/window_evaluator.ts.
 */
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { plainact } from '../../src/criteria/plainact.ts'
import { compareMethods, type CompareOptions } from '../../src/results/method.ts'
import {
  textPerplexity,
  type Protocol,
  type TextPerplexityOptions,
  type TextPerplexityReport,
} from '../../src/evaluation/text_perplexity.ts'
import { WindowEvaluator } from '../../src/evaluation/window_evaluator.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import type { UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { scoreText } from '../../src/planners/prompt_plainact.ts'
import { oraclePlanner } from '../../src/planners/oracle.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { Random } from '../../src/tensor/random.ts'
import { mean, nearAll, ratioByHand, readByHand } from './by_hand.ts'
import { encodeLetters, useSmallModel } from './small_model.ts'

const positions = 16
const stride = 10
const prompt = 5
const seed = 7
const config = makeConfig({ layers: 3, width: 8, heads: 2, neurons: 10, vocabulary: 40, positions })
const { bosId } = config

const small = useSmallModel('reference', config, 2)
let model: LanguageModel
let report: TextPerplexityReport
beforeAll(async () => {
  model = small.source().model
  report = await measure()
})

/** Pages of 7, 40 and 20 letters, and of 2, 9 and 5 words. */
const texts = ['abc def', 'one four by six teens in a bookcase home', 'red fox jumps to woo']
const words = [2, 9, 5]
const text = textOfDocuments(
  'pages',
  texts.map((page, i) => ({ name: `page ${i}`, genre: 'prose', text: page })),
)

/** The measured rows, without the dense one. */
const sparse = [
  ['random', 0.05],
  ['oracle', 0.05],
  ['random', 0.6],
  ['oracle', 0.6],
] as const

const options: CompareOptions = {
  planners: ['random', 'oracle'],
  sparsities: [0.05, 0.6],
  scope: 'global',
  criterion: 'plainact',
}

function measure(more: Partial<TextPerplexityOptions> = {}): Promise<TextPerplexityReport> {
  return textPerplexity({
    ...small.source(),
    text,
    methods: compareMethods(model, options),
    prompt,
    stride,
    seed,
    ...more,
  })
}

// ---- By hand -------------------------------------------------------------------------------------------------------------

interface HandWindow {
  readonly unit: number
  readonly tokens: Int32Array
  readonly from: number
}

/** Page, first token, end, and where scoring begins: `</s>` and the tokens of the page, 17 at most, of which 16 are fed. */
const pageTable = [
  [0, 0, 8, 1],
  [1, 0, 17, 1],
  [1, 16, 33, 1],
  [1, 24, 41, 9],
  [2, 0, 17, 1],
  [2, 4, 21, 13],
] as const

function windowsOf(protocol: Protocol): HandWindow[] {
  if (protocol === 'page')
    return pageTable.map(([unit, start, end, from]) => {
      const all = [bosId, ...encodeLetters(texts[unit])]
      return { unit, tokens: Int32Array.from(all.slice(start, end)), from }
    })
  const all = [bosId, ...encodeLetters(texts.join('\n\n'))]
  const windows: HandWindow[] = []
  for (let start = 0; start === 0 || start + positions < all.length + stride; start += stride) {
    // After the first window, six tokens of each were scored in the one before.
    const tokens = Int32Array.from(all.slice(start, start + positions))
    windows.push({ unit: windows.length, tokens, from: start === 0 ? 1 : positions - stride })
  }
  return windows
}

/** The planner of a window: it has the seed of the window, and the oracle sees the tokens after the prompt. */
function plannerOf(
  row: number,
  { tokens }: HandWindow,
  own: number,
  promptLength: number,
): MaskPlanner | null {
  if (row === 0) return null
  const [name, sparsity] = sparse[row - 1]
  const budget = makeBudget(sparsity, { scope: 'global' })
  if (name === 'random') return randomPlanner(model.shape, budget, own)
  const known = tokens.slice(0, positions)
  const labels = known.map((token, t) => (t < promptLength ? -100 : token))
  return oraclePlanner(scoreText(model, known, labels, plainact), budget)
}

interface HandRow {
  /** Sums by unit. */
  readonly nll: number[]
  readonly kl: number[]
  readonly tokens: number[]
  agreed: number
  first: number | null
  scored: number
  /** By window, the mask of its scored tokens. */
  readonly masks: (UnitMask | null)[]
}

/** A row of one protocol. @param row -1 for the dense model over everything */
function rowByHand(protocol: Protocol, row: number, shown = prompt): HandRow {
  const found: HandRow = {
    nll: [],
    kl: [],
    tokens: [],
    agreed: 0,
    first: null,
    scored: 0,
    masks: [],
  }
  const seeds = new Random(seed)
  for (const window of windowsOf(protocol)) {
    const own = seeds.uint32()
    const { unit, tokens, from } = window
    const start = row < 0 ? from : Math.max(from, shown)
    if (start >= tokens.length) continue
    const dense = readByHand(model, { tokens, promptLength: 1 }, null).rows
    const promptLength = row < 0 ? 1 : shown
    const planner = plannerOf(Math.max(row, 0), window, own, shown)
    const { rows, mask } = readByHand(model, { tokens, promptLength }, planner)
    for (let t = start; t < tokens.length; t++) {
      const [p, q] = [dense.get(t) ?? [], rows.get(t) ?? []]
      found.nll[unit] = (found.nll[unit] ?? 0) - q[tokens[t]]
      found.kl[unit] =
        (found.kl[unit] ?? 0) + p.reduce((sum, logP, v) => sum + Math.exp(logP) * (logP - q[v]), 0)
      found.tokens[unit] = (found.tokens[unit] ?? 0) + 1
      if (p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q))) found.agreed++
      else found.first ??= found.scored
      found.scored++
    }
    found.masks.push(mask)
  }
  return found
}

/** Skipped shares of the layers `from` to `end`, mean over windows: a head has 4 K D weights, a neuron 2 D. */
function skippedByHand({ masks }: HandRow, from = 0, end = 3): Record<string, unknown> {
  const [K, D] = [4, 8]
  const zeros = (table: Float32Array | undefined, units: number): number =>
    [...(table ?? [])].slice(from * units, end * units).filter((kept) => kept === 0).length
  const all = masks.map((mask) => {
    const [heads, neurons] = [zeros(mask?.heads, 2), zeros(mask?.neurons, 10)]
    const [H, F] = [2 * (end - from), 10 * (end - from)]
    const weights = (heads * 4 * K * D + neurons * 2 * D) / (H * 4 * K * D + F * 2 * D)
    return { heads: heads / H, neurons: neurons / F, weights }
  })
  const share = (kind: 'heads' | 'neurons' | 'weights'): number => mean(all.map((one) => one[kind]))
  return nearAll({ heads: share('heads'), neurons: share('neurons'), weights: share('weights') })
}

function achievedByHand(row: HandRow): Record<string, unknown> {
  return { ...skippedByHand(row), layers: [0, 1, 2].map((layer) => skippedByHand(row, layer, layer + 1)) }
}

/** The numbers of the report for pages, or for the stream. */
function numbersByHand(protocol: Protocol, { nll, tokens }: HandRow): Record<string, number> {
  const per = (counts: readonly number[]): number[] => {
    const below: number[] = []
    tokens.forEach((scored, unit) => (below[unit] = (scored * counts[unit]) / texts[unit].length))
    return below
  }
  if (protocol === 'stream') {
    const { value, error } = ratioByHand(nll, tokens)
    return { tokenPerplexity: Math.exp(value), tokenPerplexityError: Math.exp(value) * error }
  }
  const word = ratioByHand(nll, per(words))
  const byte = ratioByHand(nll, per(texts.map((page) => page.length))).value
  return {
    wordPerplexity: Math.exp(word.value),
    wordPerplexityError: Math.exp(word.value) * word.error,
    bytePerplexity: Math.exp(byte),
    bitsPerByte: byte / Math.log(2),
  }
}

/** All rows of a report on both protocols, computed by hand. */
function isByHand({ rows, whole }: TextPerplexityReport, shown = prompt): void {
  expect(rows.map(({ planner, sparsity }) => [planner, sparsity])).toEqual([['dense', 0], ...sparse])
  for (const [i, row] of rows.entries()) {
    const [page, stream] = (['page', 'stream'] as const).map((protocol) => rowByHand(protocol, i, shown))
    const kl = ratioByHand(stream.kl, stream.tokens)
    expect(row, `row ${i}`).toMatchObject({
      ...nearAll({ ...numbersByHand('page', page), ...numbersByHand('stream', stream) }),
      ...nearAll({
        klPerToken: kl.value,
        klPerTokenError: kl.error,
        agreement: stream.agreed / stream.scored,
      }),
      firstDifference: stream.first,
      decisions: row.planner === 'dense' ? 0 : 1,
      seed,
    })
    expect(row.achieved, `row ${i}`).toEqual(achievedByHand(stream))
  }
  const [page, stream] = (['page', 'stream'] as const).map((protocol) => rowByHand(protocol, -1))
  expect(whole).toEqual({
    ...nearAll({ ...numbersByHand('page', page), ...numbersByHand('stream', stream) }),
    streamTokens: stream.scored,
    pageTokens: page.scored,
  })
}

describe('the rows of a perplexity report', () => {
  test('equal plain sums in float64, each window with a seed of its own', () => isByHand(report))

  test('are of informative windows: pages have several, and first differences come after the first window', () => {
    expect(windowsOf('page').map(({ unit }) => unit)).toEqual([0, 1, 1, 1, 2, 2])
    expect(windowsOf('stream')).toHaveLength(7)
    // The first window of the stream scores eleven tokens after a prompt of five.
    const firsts = report.rows.map(({ firstDifference }) => firstDifference ?? -1)
    expect(firsts.filter((first) => first >= 11)).toHaveLength(2)
    expect(new Set(report.rows.map(({ klPerToken }) => klPerToken)).size).toBe(report.rows.length)
  })

  test.each<[string, (own: number) => number]>([
    ['one seed for all windows', () => seed],
    ['seeds that are one too high', (own) => own + 1],
  ])('mutant: %s: killed', async (_, change) => {
    const { score } = WindowEvaluator.prototype
    const spy = vi.spyOn(WindowEvaluator.prototype, 'score').mockImplementation(function (
      this: WindowEvaluator,
      ...args
    ) {
      const text = { ...this.text, seed: change(this.text.seed) }
      return score.apply(new WindowEvaluator(this.model, text, this.options), args)
    })
    const broken = await measure().finally(() => spy.mockRestore())
    expect(() => isByHand(broken)).toThrow('row 1')
  })

  test.each(
    Object.entries<(row: TextPerplexityReport['rows'][number]) => object>({
      'a first difference that is counted within its window': ({ firstDifference: n }) => ({
        firstDifference: (n ?? 0) % 10,
      }),
      'an error in nats that is shown as one of perplexity': (row) => ({
        tokenPerplexityError: Number(row.tokenPerplexityError) / Number(row.tokenPerplexity),
      }),
      'bits are nats': ({ bitsPerByte }) => ({ bitsPerByte: Number(bitsPerByte) * Math.LN2 }),
    }),
  )('mutant: %s: killed', (_, change) => {
    const rows = report.rows.map((row) => ({ ...row, ...change(row) }))
    expect(() => isByHand({ ...report, rows })).toThrow('row')
  })

  test('of pages only take KL, agreement and skipped shares from the pages', async () => {
    const { rows, protocol } = await measure({ protocols: ['page'] })
    const page = rowByHand('page', 3)
    const kl = ratioByHand(page.kl, page.tokens)
    expect(rows[3]).toMatchObject({
      ...nearAll({ klPerToken: kl.value, klPerTokenError: kl.error, agreement: page.agreed / page.scored }),
      firstDifference: page.first,
      tokenPerplexity: null,
      tokenPerplexityError: null,
      achieved: achievedByHand(page),
    })
    expect(protocol).toMatchObject({ stride: null, prefix: null, windows: { page: 6 } })
  })

  test('show planners a quarter of the context by default, at most 128 tokens', async () => {
    const { protocol, rows } = await measure({ prompt: undefined })
    expect(protocol.prompt).toBe(4)
    isByHand({ ...report, rows }, 4)
    const wide = makeConfig({ layers: 1, width: 2, heads: 1, neurons: 2, vocabulary: 40, positions: 1000 })
    const long = await LanguageModel.load(
      wide,
      memorySource(initialWeights(wide, { seed: 0 })),
      model.backend,
    )
    const methods = compareMethods(long, { ...options, planners: ['random'] })
    const whole = { text: 'a'.repeat(200), prompt: undefined, stride: undefined }
    expect((await measure({ model: long, methods, ...whole })).protocol).toMatchObject({
      prompt: 128,
      stride: 1000,
      context: 1000,
    })
    long.dispose()
  })
})
