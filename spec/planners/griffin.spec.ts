/**
 * griffin against its formula: on activations that are written down, on those of any small model, and on those that
 * Hugging Face's OPT, Llama and Mistral computed (fixtures/golden, fixtures/golden-llama).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeBudget, type Budget } from '../../src/masks/budget.ts'
import type { UnitShape } from '../../src/masks/mask.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { griffinPlanner, griffinScores } from '../../src/planners/griffin.ts'
import { promptMask } from '../../src/planners/leaky.ts'
import type { LatePlanner } from '../../src/planners/ranking.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { lawForAll } from '../../src/verify/law.ts'
import { anyModel, forAll, tokensOf, withModel, type ModelLaw } from '../../src/verify/model/cases.ts'
import { findsEach, stateLaws } from '../engine/cases.ts'
import { get, getIds, readCase, tolerance, variants } from '../golden/golden.ts'
import { withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { anyData, kills, killsEach, stateLaw } from '../harness/seed.ts'
import { roundedShare } from '../masks/cases.ts'

// ---- The scores of a layer -----------------------------------------------------------------------------------------

/** What makes scores [F] of activations [T, F]. */
type Scores = typeof griffinScores

/** The formula as it is written: every token over its own norm, then the norm of every column. In float64. */
function byFormula(activations: ArrayLike<number>, tokens: number): number[] {
  const F = activations.length / tokens
  const rows = Array.from({ length: tokens }, (_, t) => Array.from(activations).slice(t * F, (t + 1) * F))
  const relative = rows.map((row) => row.map((value) => value / (Math.hypot(...row) || 1)))
  return Array.from({ length: F }, (_, j) => Math.hypot(...relative.map((row) => row[j])))
}

function expectScores(found: ArrayLike<number>, expected: readonly number[], near = 1e-6): void {
  expect(found).toHaveLength(expected.length)
  expected.forEach((score, j) => {
    if (!(Math.abs(found[j] - score) <= near))
      throw new Error(`neuron ${j}: expected ${score}, got ${found[j]}`)
  })
}

/** Activations of T tokens, [T, F]; some tokens are all zero. */
const layerCase = fc.record({
  tokens: fc.integer({ min: 1, max: 6 }),
  neurons: fc.integer({ min: 1, max: 9 }),
  numbers: fc.array(fc.oneof(fc.constant(0), fc.float({ min: -64, max: 64, noNaN: true })), {
    minLength: 1,
    maxLength: 54,
    size: 'max',
  }),
  zeros: fc.array(fc.nat({ max: 5 }), { maxLength: 2 }),
})
type LayerCase = typeof layerCase extends fc.Arbitrary<infer T> ? T : never

/** The rows of a case. */
function rowsOf({ tokens, neurons, numbers, zeros }: LayerCase): Float32Array[] {
  return Array.from({ length: tokens }, (_, t) =>
    Float32Array.from({ length: neurons }, (_, j) =>
      zeros.includes(t) ? 0 : numbers[(t * neurons + j) % numbers.length],
    ),
  )
}

const flat = (rows: readonly Float32Array[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => [...row]))
const scoresOf = (scores: Scores, rows: readonly Float32Array[]): Float32Array =>
  scores(flat(rows), rows.length)

const isFormula = lawForAll(
  'griffin scores are the formula, and their squares add up to the number of tokens that are not all zero',
  { drawn: layerCase },
  (scores: Scores, { drawn }): void => {
    const rows = rowsOf(drawn)
    const found = scoresOf(scores, rows)
    expectScores(found, byFormula(flat(rows), rows.length))
    const squares = found.reduce((sum, score) => sum + score * score, 0)
    const live = rows.filter((row) => row.some((value) => value !== 0)).length
    expect(Math.abs(squares - live)).toBeLessThan(1e-5)
  },
)
stateLaw(isFormula, griffinScores)

const ignoresOrder = lawForAll(
  'griffin scores depend neither on the order of tokens nor on the scale of any of them',
  {
    drawn: layerCase,
    first: fc.nat({ max: 5 }),
    scales: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 6, maxLength: 6 }),
  },
  (scores: Scores, { drawn, first, scales }): void => {
    const rows = rowsOf(drawn)
    const at = first % rows.length
    const other = [...rows.slice(at), ...rows.slice(0, at)].toReversed()
    const scaled = other.map((row, t) => row.map((value) => value * 2 ** scales[t]))
    expectScores(scoresOf(scores, scaled), [...scoresOf(scores, rows)])
  },
)
stateLaw(ignoresOrder, griffinScores)

const addsUp = lawForAll(
  'the squared griffin scores of two parts of a prompt add up to those of the whole',
  { drawn: layerCase, cut: fc.nat({ max: 5 }) },
  (scores: Scores, { drawn, cut }): void => {
    const rows = rowsOf(drawn)
    const at = Math.min(cut, rows.length)
    const parts = [rows.slice(0, at), rows.slice(at)].filter((part) => part.length > 0)
    const sums = new Float64Array(drawn.neurons)
    for (const part of parts) scoresOf(scores, part).forEach((score, j) => (sums[j] += score * score))
    expectScores(scoresOf(scores, rows), Array.from(sums, Math.sqrt))
  },
)
stateLaw(addsUp, griffinScores)

const goesOn = lawForAll(
  'griffin scores of a prompt that comes in two parts are those of the whole, bit for bit',
  { drawn: layerCase, cut: fc.nat({ max: 5 }) },
  (scores: Scores, { drawn, cut }): void => {
    const rows = rowsOf(drawn)
    const at = Math.min(cut, rows.length - 1)
    const sums = new Float64Array(drawn.neurons)
    if (at > 0) scores(flat(rows.slice(0, at)), at, sums)
    const whole = scoresOf(scores, rows)
    sameBits('scores', scores(flat(rows.slice(at)), rows.length - at, sums), whole)
  },
)
stateLaw(goesOn, griffinScores)
killsEach('griffin scores that %s: killed', goesOn, {
  'forget the tokens before': (activations, tokens) => griffinScores(activations, tokens),
  'go on from rounded sums': (activations, tokens, sums) => {
    sums?.forEach((sum, j) => (sums[j] = Math.fround(sum) * (1 + 2 ** -22)))
    return griffinScores(activations, tokens, sums)
  },
})

/** Scores that a term of each activation and the norm of its token make. */
const withTerm =
  (term: (value: number, norm: number, t: number) => number): Scores =>
  (activations, tokens) => {
    const F = activations.length / tokens
    const sums = new Float64Array(F)
    activations.forEach((value, i) => {
      const t = Math.floor(i / F)
      const norm = Math.hypot(...activations.subarray(t * F, (t + 1) * F))
      sums[i % F] += term(value, norm, t)
    })
    return Float32Array.from(sums, Math.sqrt)
  }

const all = [isFormula, ignoresOrder, addsUp]
test.each<[string, Scores, readonly (typeof all)[number][]]>([
  ['divides by the norm of an all-zero token', withTerm((value, norm) => (value / norm) ** 2), [isFormula]],
  ['leaves tokens as large as they are', withTerm((value) => value ** 2), [isFormula, ignoresOrder]],
  ['gives later tokens more weight', withTerm((value, norm, t) => (value / (norm || 1)) ** 2 * (t + 1)), all],
  ['adds sizes, not squares', withTerm((value, norm) => Math.abs(value) / (norm || 1)), [isFormula]],
  [
    'takes the mean over tokens',
    (activations, tokens) => griffinScores(activations, tokens).map((score) => score / Math.sqrt(tokens)),
    [isFormula, addsUp],
  ],
  [
    'leaves out the last token, as classification in the released code does',
    (activations, tokens) =>
      griffinScores(
        activations.subarray(0, Math.max(1, tokens - 1) * (activations.length / tokens)),
        Math.max(1, tokens - 1),
      ),
    [isFormula],
  ],
])('griffin scores that %s: killed', async (_, mutant, laws) => {
  for (const law of laws) await kills(law as typeof isFormula, mutant)
})

test('griffin scores of three tokens, one of them all zero, by hand', () => {
  const scores = griffinScores(Float32Array.of(3, 4, 0, 0, 0, -5), 3)
  expect([...scores]).toEqual([Math.fround(0.6), Math.fround(Math.sqrt(1.64))])
  expect([...griffinScores(new Float32Array(4), 2)]).toEqual([0, 0])
})

// ---- The planner -----------------------------------------------------------------------------------------------------

type Make = (shape: UnitShape, budget: Budget) => LatePlanner

const keepsMostUsed = (make: Make = griffinPlanner): ModelLaw =>
  forAll(
    'griffin keeps all heads and of each ranked layer the share of neurons that the prompt uses most, and leaves nothing behind',
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const prompt = tokensOf(model, data)
        const denseLayers = data.whole('denseLayers', 0, 2)
        const budget = makeBudget(data.numbers('sparsity', 1, (stream) => stream.uniform(), 0)[0], {
          denseLayers,
        })
        const trace = traceForward(loaded, prompt)
        const expected = loaded.weights.layers.map((_, layer) =>
          byFormula(trace.fc1Act(layer), prompt.length),
        )
        trace.dispose()
        const before = subject.backend.liveBuffers
        const mask = promptMask(loaded, make(loaded.shape, budget), prompt)
        expect(subject.backend.liveBuffers).toBe(before)
        expect(mask.heads.every((kept) => kept === 1)).toBe(true)
        expected.forEach((scores, layer) => {
          const row = mask.neurons.subarray(layer * model.neurons, (layer + 1) * model.neurons)
          const kept = scores.filter((_, j) => row[j] === 1)
          const skipped = scores.filter((_, j) => row[j] === 0)
          const share = layer < denseLayers ? 0 : budget.neuronSparsity
          expect(kept).toHaveLength(roundedShare(model.neurons, share))
          // Scores that are equal in float32 may be ranked either way.
          expect(Math.min(...kept, Infinity)).toBeGreaterThan(Math.max(...skipped, -Infinity) - 1e-6)
        })
      }),
  )

stateLaws('griffin', { keepsMostUsed: keepsMostUsed() })

findsEach('a griffin that %s: killed', keepsMostUsed, {
  'is shown all but the last token': (shape, budget) => {
    const right = griffinPlanner(shape, budget)
    return {
      ...right,
      summarize: (activations, tokens, sums) => {
        const rows = Math.max(1, tokens - 1)
        return right.summarize(activations.subarray(0, (rows * activations.length) / tokens), rows, sums)
      },
    }
  },
  'skips heads too': (shape, budget) => {
    const right = griffinPlanner(shape, budget)
    return {
      ...right,
      choose: (view) => {
        const mask = right.choose(view)
        return { ...mask, heads: mask.heads.map((_, h) => (h < budget.denseLayers * shape.heads ? 1 : 0)) }
      },
    }
  },
  'keeps the neurons that are used least': (shape, budget) => {
    const right = griffinPlanner(shape, budget)
    return { ...right, summarize: (...shown) => right.summarize(...shown).map((score) => -score) }
  },
  'ranks every layer by the scores of the first': (shape, budget) => {
    const right = griffinPlanner(shape, budget)
    return {
      ...right,
      choose: (view) => {
        const { neurons } = shape
        const summaries = view.summaries.map((_, i) => view.summaries[i % neurons])
        return right.choose({ ...view, summaries })
      },
    }
  },
})

// ---- Activations of another implementation -----------------------------------------------------------------------------

describe('scores of the engine are those of exported activations', () =>
  overQuickBackends((backend) => {
    test.each(variants)('%s', (variant) =>
      withGolden(variant, backend, (model) => {
        const golden = readCase(variant, 'single')
        const { shape, values } = get(golden, model.config.gated ? 'ffn_act' : 'fc1_act') // [L, 1, T, F]
        const [, B, T, F] = shape
        expect(B).toBe(1)
        const planner = griffinPlanner(model.shape, makeBudget(0.5))
        let seen = new Float32Array(0)
        const spy: LatePlanner = {
          ...planner,
          choose: (view) => {
            seen = view.summaries.slice()
            return planner.choose(view)
          },
        }
        promptMask(model, spy, getIds(golden, 'input_ids'))
        for (let layer = 0; layer < model.shape.layers; layer++) {
          const activations = values.subarray(layer * T * F, (layer + 1) * T * F)
          const scores = seen.subarray(layer * F, (layer + 1) * F)
          expectScores(scores, byFormula(activations, T), tolerance.logits)
        }
      }),
    )
  }))
