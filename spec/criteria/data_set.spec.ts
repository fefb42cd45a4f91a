/**
 * Criteria of a data set: jacov and epenas are their definitions, over gradients taken straight from the passes and, for
 * neurons, over the gradient of their incoming weights written out; and the sample under them is fair.
 *
 * Tests src/criteria/epenas.ts, src/criteria/jacov.ts and src/criteria/token_sample.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { epenas } from '../../src/criteria/epenas.ts'
import type { CriterionInput, DatasetCriterion } from '../../src/criteria/index.ts'
import { jacov, rowsPerDraw, spectralScore } from '../../src/criteria/jacov.ts'
import { TokenSample } from '../../src/criteria/token_sample.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { Random } from '../../src/tensor/random.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { roomyModel, withModel, type ModelCase, type Subject } from '../engine/cases.ts'
import { eigenvalues } from './eigenvalues.ts'
import { withPass, type Text } from './passes.ts'

const EPSILON = 1e-5

/** A token: its label, and the gradient of a unit there. */
interface Row {
  readonly target: number
  readonly row: number[]
}

/** Pearson's correlation. */
function correlate(a: readonly number[], b: readonly number[]): number {
  const mean = (row: readonly number[]): number => row.reduce((x, y) => x + y, 0) / row.length
  const [centreA, centreB] = [mean(a), mean(b)]
  let [ab, aa, bb] = [0, 0, 0]
  a.forEach((value, i) => {
    ab += (value - centreA) * (b[i] - centreB)
    aa += (value - centreA) ** 2
    bb += (b[i] - centreB) ** 2
  })
  return ab / Math.sqrt(aa * bb)
}

/** Every unit's rows over an example: g of a head, gz x of a neuron. */
function rowsOf(input: CriterionInput, kind: 'heads' | 'neurons', layer: number, unit: number): Row[] {
  const { width: D, neurons: F, heads: H, headSize: K } = input.model.config
  const [g, gz, x] = [
    input.gradients.headOut(layer),
    input.gradients.fc1Pre(layer),
    input.trace.fc1Input(layer),
  ]
  return Array.from(input.tokens, (_, t) => ({
    target: t + 1 < input.labels.length ? input.labels[t + 1] : -100,
    row:
      kind === 'heads'
        ? Array.from(g.subarray((t * H + unit) * K, (t * H + unit + 1) * K))
        : Array.from(x.subarray(t * D, (t + 1) * D), (value) => value * gz[t * F + unit]),
  })).filter(({ row }) => varies(row))
}

/** A constant row correlates with no other. */
function varies(row: readonly number[]): boolean {
  const sizes = row.map(Math.abs)
  return Math.max(...row) - Math.min(...row) > 1e-6 * Math.max(...sizes)
}

/** Minus the mean over eigenvalues of ln(v + k) + 1 / (v + k). */
function spectrumOf(rows: readonly Row[]): number {
  const values = eigenvalues(rows.map((a) => rows.map((b) => correlate(a.row, b.row))))
  const sum = values.reduce((total, v) => total + Math.log(v + EPSILON) + 1 / (v + EPSILON), 0)
  return -sum / values.length
}

/**
 * jacov of rows. If they fit into one draw, it is that of all rows; otherwise the mean over ten draws of N, each a partial
 * shuffle that continues the last. Fewer than two rows count as N equal ones.
 */
function jacovOf(rows: readonly Row[], N: number, random: Random): number {
  if (rows.length < 2) return spectrumOf(Array.from({ length: N }, () => ({ target: 0, row: [0, 1] })))
  if (rows.length <= N) return spectrumOf(rows)
  const order = [...rows]
  const draws = Array.from({ length: 10 }, () => {
    for (let i = 0; i < N; i++) {
      const j = i + random.below(order.length - i)
      ;[order[i], order[j]] = [order[j], order[i]]
    }
    return spectrumOf(order.slice(0, N))
  })
  return draws.reduce((total, score) => total + score, 0) / draws.length
}

/** epenas of rows. */
function epenasOf(rows: readonly Row[]): number {
  const scores = [...new Set(rows.map(({ target }) => target))].flatMap((target) => {
    const own = rows.filter((row) => row.target === target && target !== -100)
    if (own.length < 2) return []
    const logs = own.flatMap((a) => own.map((b) => Math.log(Math.abs(correlate(a.row, b.row)) + EPSILON)))
    return [logs.reduce((total, value) => total + value, 0) / own.length]
  })
  if (scores.length === 0) return 0
  return scores.flatMap((a) => scores.map((b) => Math.abs(a - b))).reduce((x, y) => x + y, 0) / scores.length
}

/** A criterion, and where it is computed. */
interface Judged extends Subject {
  readonly criterion: DatasetCriterion
}

/** A model's examples, and every unit's rows over all of them. */
async function over(
  subject: Subject,
  model: ModelCase,
  texts: readonly Text[],
  criterion: DatasetCriterion,
  judge: (
    scores: UnitScores,
    rows: (kind: 'heads' | 'neurons', layer: number, unit: number) => Row[],
  ) => void,
): Promise<void> {
  await withModel(subject, model, (loaded) => {
    const all = new Map<string, Row[]>()
    const scoring = criterion.begin(loaded.shape, 5)
    for (const text of texts)
      withPass(loaded, text, (input) => {
        scoring.add(input)
        for (const kind of ['heads', 'neurons'] as const)
          for (let layer = 0; layer < model.layers; layer++)
            for (let unit = 0; unit < model[kind]; unit++) {
              const name = `${kind} ${layer} ${unit}`
              all.set(name, [...(all.get(name) ?? []), ...rowsOf(input, kind, layer, unit)])
            }
      })
    judge(scoring.finish(), (kind, layer, unit) => all.get(`${kind} ${layer} ${unit}`) ?? [])
  })
}

/** Texts of a few tokens, with at least one scored position. */
function textsOf(model: ModelCase, count: number, length: number): Text[] {
  const data = new Data(model.seed)
  return Array.from({ length: count }, () => {
    const tokens = data.ids('tokens', length, model.vocabulary)
    const known = data.integer(1, length - 1)
    const scored = data.pick([0, 0.6, 1])
    const labels = tokens.map((token, t) => (t === known || data.chance(scored) ? token : -100))
    return { tokens, labels }
  })
}

/** The rows have the numbers that the criterion reads, so the difference is rounding of float64 and of ln in float32. */
function isClose(score: number, expected: number, unit: string): void {
  expect(Math.abs(score - expected) / Math.max(1, Math.abs(expected)), unit).toBeLessThan(1e-4)
}

/** Heads of one channel (no correlations), of two, and of eight with four rows in a draw. */
const jacovIsItsDefinition = lawForAll(
  'jacov = its definition by eigenvalues, heads and neurons',
  { model: roomyModel },
  async (subject: Judged, { model }) => {
    const headSize = [1, 2, 8, 8][Math.abs(model.seed % 4)]
    const sized = {
      ...model,
      headSize,
      llama: model.llama && { ...model.llama, pairs: Math.ceil(headSize / 2) },
    }
    const N = headSize === 8 ? 4 : 2
    const random = new Random(5)
    await over(subject, sized, textsOf(sized, 2, model.positions), subject.criterion, (scores, rows) => {
      for (let layer = 0; layer < model.layers; layer++)
        for (const kind of ['heads', 'neurons'] as const)
          for (let unit = 0; unit < model[kind]; unit++) {
            const expected = jacovOf(rows(kind, layer, unit), N, random)
            isClose(scores[kind][layer * model[kind] + unit], expected, `${kind} ${layer} ${unit}`)
          }
    })
  },
  { runs: 25 },
)

const epenasIsItsDefinition = lawForAll(
  'epenas = its definition, heads and neurons',
  { model: roomyModel },
  async (subject: Judged, { model }) => {
    // Few words, so that classes have several tokens.
    const small = { ...model, vocabulary: 3, headSize: [1, 2, 8, 8][Math.abs(model.seed % 4)] }
    await over(subject, small, textsOf(small, 2, model.positions), subject.criterion, (scores, rows) => {
      for (const kind of ['heads', 'neurons'] as const)
        scores[kind].forEach((score, index) => {
          const [layer, unit] = [Math.floor(index / model[kind]), index % model[kind]]
          isClose(score, epenasOf(rows(kind, layer, unit)), `${kind} ${index}`)
        })
    })
  },
  { runs: 25 },
)

overQuickBackends((backend) => {
  const subject: Subject = { backend, load: LanguageModel.load }
  stateLaw(jacovIsItsDefinition, { ...subject, criterion: jacov })
  stateLaw(epenasIsItsDefinition, { ...subject, criterion: epenas })
})

test('a draw compares half as many tokens as a head has channels, from 2 to 200', () => {
  expect([1, 2, 4, 5, 6, 64, 399, 400, 401, 402, 1000].map(rowsPerDraw)).toEqual([
    2, 2, 2, 2, 3, 32, 199, 200, 200, 200, 200,
  ])
})

test('a data set without examples is refused', () => {
  const shape = { layers: 1, heads: 1, neurons: 1 }
  for (const criterion of [jacov, epenas])
    expect(() => criterion.begin(shape, 0).finish()).toThrow('examples: expected at least one, got none')
})

describe('the spectral score', () => {
  const each = (v: number): number => -(Math.log(v + EPSILON) + 1 / (v + EPSILON))

  test('has its closed forms: unrelated rows, equal rows, two rows', () => {
    for (const N of [2, 5, 30]) {
      expect(spectralScore(() => 0, N)).toBeCloseTo(each(1), 5)
      expect(spectralScore(() => 1, N) / ((each(N) + (N - 1) * each(0)) / N)).toBeCloseTo(1, 5)
    }
    for (const r of [-0.9, 0.2, 0.99])
      expect(spectralScore(() => r, 2)).toBeCloseTo((each(1 + r) + each(1 - r)) / 2, 3)
  })

  law(
    'is independent of the sign of a row',
    { N: fc.integer({ min: 2, max: 6 }), data: anyData },
    ({ N, data }) => {
      const rows = Array.from({ length: N }, () => [...data.floats('row', 12)])
      const isTurned = data.mask('isTurned', N, (stream) => stream.chance(0.5))
      const turned = rows.map((row, n) => (isTurned[n] === 1 ? row.map((value) => -value) : row))
      const score = (of: number[][]): number => spectralScore((i, j) => correlate(of[i], of[j]), N)
      expect(score(turned)).toBeCloseTo(score(rows), 4)
    },
    { runs: 50 },
  )
})

/** Keeps each of `length` tokens in how many of `runs` samples. */
function timesKept(capacity: number, length: number, runs: number, make: typeof TokenSample): number[] {
  const counts = new Array<number>(length).fill(0)
  for (let seed = 0; seed < runs; seed++) {
    const sample = new make(capacity, seed)
    // Two examples of a model of one unit; a token is known by what it is to predict.
    for (const half of [0, 1]) sample.add(inputOf(half * (length / 2), length / 2), (target) => target >= 0)
    expect(sample.tokens.length).toBe(Math.min(capacity, length))
    for (const { target, layers } of sample.tokens) {
      counts[target]++
      expect(layers[0].input[0]).toBe(target)
    }
  }
  return counts
}

/** An example whose token t is to predict first + t, and whose activations say so. */
function inputOf(first: number, length: number): CriterionInput {
  const targets = Array.from({ length }, (_, t) => first + t)
  const column = Float32Array.of(...targets, 0)
  return {
    model: { config: { width: 1, neurons: 1, headSize: 1 }, shape: { layers: 1, heads: 1, neurons: 1 } },
    tokens: new Int32Array(length + 1),
    labels: Int32Array.of(-100, ...targets),
    trace: { fc1Input: () => column },
    gradients: { headOut: () => column, fc1Pre: () => column },
    seed: 0,
  } as unknown as CriterionInput
}

/** Each token is in capacity / length of all samples: 4.5 deviations of the binomial are allowed. */
function isFair(make: typeof TokenSample): void {
  const [capacity, length, runs] = [5, 20, 2000]
  const p = capacity / length
  const allowed = 4.5 * Math.sqrt(runs * p * (1 - p))
  for (const count of timesKept(capacity, length, runs, make))
    expect(Math.abs(count - runs * p)).toBeLessThan(allowed)
}

describe('the sample of tokens', () => {
  test('keeps every token as often as any other', () => isFair(TokenSample))
  test('keeps all of them if they fit', () =>
    expect(timesKept(20, 20, 3, TokenSample)).toEqual(new Array(20).fill(3)))

  test('a mutant that keeps the first: killed', () => {
    class First extends TokenSample {
      #full = false
      override add(...args: Parameters<TokenSample['add']>): void {
        if (!this.#full) super.add(...args)
        this.#full = true
      }
    }
    expect(() => isFair(First)).toThrow('expected')
  })
})

/** A data-set criterion whose input is changed on the way. */
function misread(
  criterion: DatasetCriterion,
  change: (input: CriterionInput) => Partial<CriterionInput>,
): DatasetCriterion {
  return {
    ...criterion,
    begin: (shape, seed) => {
      const scoring = criterion.begin(shape, seed)
      return { add: (input) => scoring.add({ ...input, ...change(input) }), finish: () => scoring.finish() }
    },
  }
}

/** Activations where gradients belong. */
const activationsForGradients = (input: CriterionInput): Partial<CriterionInput> => ({
  gradients: Object.create(input.gradients, {
    headOut: { value: (layer: number) => input.trace.headOut(layer) },
    fc1Pre: { value: (layer: number) => input.gradients.fc1Pre(layer) },
  }) as CriterionInput['gradients'],
})

/** ReLU left open: every token reaches every neuron. */
const openNeurons = (input: CriterionInput): Partial<CriterionInput> => ({
  gradients: Object.create(input.gradients, {
    headOut: { value: (layer: number) => input.gradients.headOut(layer) },
    fc1Pre: { value: (layer: number) => input.gradients.fc1Act(layer) },
  }) as CriterionInput['gradients'],
})

/** The class of a token is the token itself. */
const ownClass = (input: CriterionInput): Partial<CriterionInput> => ({
  labels: Int32Array.of(-100, ...input.tokens.slice(0, -1)),
})

/** Positions that are not scored count as a class. */
const oneMoreClass = ({ labels }: CriterionInput): Partial<CriterionInput> => ({
  labels: labels.map((label) => (label === -100 ? 99 : label)),
})

describe('mutants of data-set criteria', () => {
  test.each([
    ['jacov of activations', jacovIsItsDefinition, misread(jacov, activationsForGradients)],
    ['jacov of neurons that did not fire', jacovIsItsDefinition, misread(jacov, openNeurons)],
    ['epenas of activations', epenasIsItsDefinition, misread(epenas, activationsForGradients)],
    ['epenas by the token that predicts', epenasIsItsDefinition, misread(epenas, ownClass)],
    ['epenas with a class of what is not scored', epenasIsItsDefinition, misread(epenas, oneMoreClass)],
  ] as const)('%s: killed', async (_, law, criterion) => {
    const backend = await createBackend('reference')
    await kills(law, { backend, load: LanguageModel.load, criterion })
  })
})
