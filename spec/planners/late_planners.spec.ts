/**
 * coreinfer, glass, griffin-static and prompt-static against their definitions: on written activations and scores, and on
 * those of any small model. griffin has a file of its own.
 *
 * Tests src/masks/ranks.ts, src/planners/coreinfer.ts, src/planners/glass.ts, src/planners/griffin_static.ts and
 * src/planners/prompt_static.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { randomScores } from '../../src/criteria/random.ts'
import { makeBudget, scopes, type Budget } from '../../src/masks/budget.ts'
import { denseMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { coreCounts, coreinferPlanner } from '../../src/planners/coreinfer.ts'
import { glassPlanner, mergedRanks } from '../../src/planners/glass.ts'
import { griffinPlanner, griffinScores } from '../../src/planners/griffin.ts'
import { griffinStaticPlanner } from '../../src/planners/griffin_static.ts'
import { promptMask } from '../../src/planners/leaky.ts'
import { scoreText } from '../../src/planners/prompt_plainact.ts'
import { staticPlanner } from '../../src/planners/static.ts'
import { geometricMean, promptStaticPlanner } from '../../src/planners/prompt_static.ts'
import { Random } from '../../src/tensor/random.ts'
import { lawForAll } from '../../src/verify/law.ts'
import { anyModel, forAll, withModel, type ModelLaw } from '../../src/verify/model/cases.ts'
import { findsEach, stateLaws } from '../engine/cases.ts'
import { anyData, killsEach, stateLaw } from '../harness/seed.ts'

// ---- coreinfer: counts --------------------------------------------------------------------------------------------------

type Counts = typeof coreCounts

/** The definition, token by token, from sorted lists. @param share of the mean number of positive activations */
function countsByDefinition(
  activations: Float32Array,
  tokens: number,
  limit: (positives: readonly number[], t: number) => number,
  value = (activation: number): number => activation,
): Float32Array {
  const F = activations.length / tokens
  const rows = Array.from({ length: tokens }, (_, t) => [...activations.subarray(t * F, (t + 1) * F)])
  const positives = rows.map((row) => row.filter((activation) => activation > 0).length)
  const counts = new Float32Array(F)
  for (const [t, row] of rows.entries())
    [...row.keys()]
      .filter((j) => value(row[j]) > 0)
      .toSorted((a, b) => value(row[b]) - value(row[a]) || a - b)
      .slice(0, limit(positives, t))
      .forEach((j) => counts[j]++)
  return counts
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, number) => sum + number, 0) / numbers.length

/** Activations [T, F] with many equal values. */
const layerCase = fc.record({
  tokens: fc.integer({ min: 1, max: 5 }),
  neurons: fc.integer({ min: 1, max: 40 }),
  numbers: fc.array(fc.oneof(fc.integer({ min: -2, max: 6 }), fc.float({ min: -4, max: 8, noNaN: true })), {
    minLength: 1,
    maxLength: 97,
    size: 'max',
  }),
})
type LayerCase = typeof layerCase extends fc.Arbitrary<infer T> ? T : never

const activationsOf = ({ tokens, neurons, numbers }: LayerCase): Float32Array =>
  Float32Array.from({ length: tokens * neurons }, (_, i) => numbers[i % numbers.length])

const countsCores = lawForAll(
  'coreinfer counts at how many tokens a neuron is among the strongest positive ones, a fifth of their mean number',
  { drawn: layerCase },
  (counts: Counts, { drawn }): void => {
    const activations = activationsOf(drawn)
    expect(counts(activations, drawn.tokens)).toEqual(
      countsByDefinition(activations, drawn.tokens, (positives) => Math.floor(0.2 * mean(positives) + 1e-9)),
    )
  },
  { runs: 300 },
)
stateLaw(countsCores, coreCounts)

killsEach('counts of core neurons that %s: killed', countsCores, {
  'give every token a limit of its own': (activations, tokens) =>
    countsByDefinition(activations, tokens, (positives, t) => Math.floor(0.2 * positives[t] + 1e-9)),
  'round the limit up': (activations, tokens) =>
    countsByDefinition(activations, tokens, (positives) => Math.ceil(0.2 * mean(positives) - 1e-9)),
  'take a share of all neurons': (activations, tokens) =>
    countsByDefinition(activations, tokens, () => Math.floor((0.2 * activations.length) / tokens)),
  'go by size, whatever the sign': (activations, tokens) =>
    countsByDefinition(
      activations,
      tokens,
      (positives) => Math.floor(0.2 * mean(positives) + 1e-9),
      Math.abs,
    ),
  'leave out the last token': (activations, tokens) =>
    tokens === 1
      ? coreCounts(activations, 1)
      : coreCounts(activations.subarray(0, ((tokens - 1) * activations.length) / tokens), tokens - 1),
})

test('core neurons of two tokens, by hand', () => {
  // Ten positive activations at the first token, none at the second: one neuron of either counts, if it is positive.
  const first = [1, 2, 3, 4, 5, 9, 9, 8, 7, 6]
  const second = [-1, -2, 0, 0, 0, 0, 0, 0, 0, 0]
  expect([...coreCounts(Float32Array.from([...first, ...second]), 2)]).toEqual([0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
  // Two at a single token; of equal activations the first.
  expect([...coreCounts(Float32Array.from(first), 1)]).toEqual([0, 0, 0, 0, 0, 1, 1, 0, 0, 0])
  expect([...coreCounts(Float32Array.of(1, 2, 3, 4), 1)]).toEqual([0, 0, 0, 0])
})

// ---- glass: merged ranks -------------------------------------------------------------------------------------------------

type Merge = typeof mergedRanks

/** A rank by counting what is lower. */
const rankOf = (values: readonly number[], j: number): number =>
  values.filter((value) => value < values[j]).length +
  (values.filter((value) => value === values[j]).length - 1) / 2

const scoreList = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 9 })), {
  minLength: 1,
  maxLength: 24,
})

const mergesRanks = lawForAll(
  'glass ranks by the mean of the rank in the prompt and the rank in the calibration, whatever the scale of either',
  { pairs: scoreList, small: fc.integer({ min: -20, max: 20 }), large: fc.integer({ min: -20, max: 20 }) },
  (merge: Merge, { pairs, small, large }): void => {
    const [prompt, general] = [0, 1].map((side) => pairs.map((pair) => pair[side]))
    const found = merge(
      Float32Array.from(prompt, (score) => score * 2 ** small),
      Float32Array.from(general, (score) => score * 2 ** large),
    )
    expect([...found]).toEqual(prompt.map((_, j) => (rankOf(prompt, j) + rankOf(general, j)) / 2))
  },
)
stateLaw(mergesRanks, mergedRanks)

killsEach('a glass that %s: killed', mergesRanks, {
  'adds scores': (prompt, general) => prompt.map((score, j) => (score + general[j]) / 2),
  'hears the calibration only': (_, general) => mergedRanks(general, general),
  'hears the prompt only': (prompt) => mergedRanks(prompt, prompt),
  'ranks the strongest lowest': (prompt, general) =>
    mergedRanks(
      prompt.map((score) => -score),
      general,
    ),
})

test('a score that is not a number ranks lowest', () => {
  expect([...mergedRanks(Float32Array.of(NaN, 1, 2), Float32Array.of(5, 5, NaN))]).toEqual([0.75, 1.25, 1])
})

// ---- The planners -------------------------------------------------------------------------------------------------------

/** Makes a planner of a model, the mean scores of a calibration, and a budget. */
type Make = (model: LanguageModel, mean: UnitScores, budget: Budget) => MaskPlanner

/** The scores by which it keeps units, from every layer's activations over the prompt. */
interface Definition {
  readonly make: Make
  scores(
    mean: UnitScores,
    activations: readonly Float32Array[],
    prompt: Int32Array,
    model: LanguageModel,
  ): UnitScores
  /** Whether it ranks neurons within their layer, and no heads. */
  readonly neuronsOnly: boolean
}

const flat = (rows: readonly Float32Array[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => [...row]))

const definitions: Readonly<Record<string, Definition>> = {
  coreinfer: {
    make: ({ shape }, _, budget) => coreinferPlanner(shape, budget),
    scores: (calibrated, activations, prompt) => {
      const limit = (positives: readonly number[]): number => Math.floor(0.2 * mean(positives) + 1e-9)
      const neurons = flat(activations.map((rows) => countsByDefinition(rows, prompt.length, limit)))
      return { ...calibrated, neurons }
    },
    neuronsOnly: true,
  },
  glass: {
    make: (_, calibrated, budget) => glassPlanner(calibrated, budget),
    scores: (calibrated, activations, prompt) => {
      const merged = activations.map((rows, layer) => {
        const own = [...griffinScores(rows, prompt.length)]
        const general = [...calibrated.neurons.subarray(layer * own.length, (layer + 1) * own.length)]
        return Float32Array.from(own, (__, j) => (rankOf(own, j) + rankOf(general, j)) / 2)
      })
      return { ...calibrated, neurons: flat(merged) }
    },
    neuronsOnly: true,
  },
  'griffin-static': {
    make: (_, calibrated, budget) => griffinStaticPlanner(calibrated, budget),
    scores: (calibrated, activations, prompt) => {
      const own = flat(activations.map((rows) => griffinScores(rows, prompt.length)))
      return { ...calibrated, neurons: own.map((score, i) => calibrated.neurons[i] * Math.sqrt(score)) }
    },
    neuronsOnly: false,
  },
  'prompt-static': {
    make: (model, calibrated, budget) => promptStaticPlanner(model, calibrated, budget),
    scores: (calibrated, _, prompt, model) => {
      const own = scoreText(model, prompt, prompt)
      const merged = (kind: 'heads' | 'neurons'): Float32Array =>
        own[kind].map((score, i) => Math.sqrt(score * calibrated[kind][i]))
      return { shape: own.shape, heads: merged('heads'), neurons: merged('neurons') }
    },
    neuronsOnly: false,
  },
}

const keepsItsBest = (name: string, make: Make = definitions[name].make): ModelLaw =>
  forAll(
    `${name} keeps the units that its definition scores highest over the prompt, within its budget, and leaves nothing behind`,
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const prompt = data.ids('prompt', data.whole('length', 2, model.positions), model.vocabulary)
        const calibrated = randomScores(
          loaded.shape,
          new Random(data.whole('seed of the scores', 0, 2 ** 20)),
        )
        const budget = makeBudget(data.numbers('sparsity', 1, (stream) => stream.uniform(), 0)[0], {
          denseLayers: data.whole('denseLayers', 0, 2),
          scope: data.oneOf('scope', scopes),
          headFloor: 0,
        })
        const trace = traceForward(loaded, prompt)
        const activations = loaded.weights.layers.map((_, layer) => trace.fc1Act(layer))
        trace.dispose()
        const { scores, neuronsOnly } = definitions[name]
        // prompt-static decides after the attention of layer 0, which is dense in its mask.
        const own =
          name === 'prompt-static' ? { ...budget, denseLayers: Math.max(1, budget.denseLayers) } : budget
        const spent: Budget = neuronsOnly ? { ...own, headSparsity: 0, scope: 'per-layer' } : own
        const expected = selectMask(scores(calibrated, activations, prompt, loaded), spent)
        if (neuronsOnly) expect(expected.heads).toEqual(denseMask(loaded.shape).heads)
        const before = subject.backend.liveBuffers
        expect(promptMask(loaded, make(loaded, calibrated, own), prompt)).toEqual(expected)
        expect(subject.backend.liveBuffers).toBe(before)
      }),
  )

stateLaws(
  'planners by what a prompt uses',
  Object.fromEntries(Object.keys(definitions).map((name) => [name, keepsItsBest(name)])),
)

describe('mutants', () => {
  findsEach('coreinfer that %s: killed', (make: Make) => keepsItsBest('coreinfer', make), {
    'is griffin': ({ shape }, _, budget) => griffinPlanner(shape, budget),
  })

  findsEach('glass that %s: killed', (make: Make) => keepsItsBest('glass', make), {
    'is griffin': ({ shape }, _, budget) => griffinPlanner(shape, budget),
    'reads the calibration of the first layer': (_, { neurons, ...calibrated }, budget) => {
      const { neurons: F } = calibrated.shape
      return glassPlanner({ ...calibrated, neurons: neurons.map((__, i) => neurons[i % F]) }, budget)
    },
  })

  findsEach('griffin-static that %s: killed', (make: Make) => keepsItsBest('griffin-static', make), {
    'is static': (_, calibrated, budget) => staticPlanner(calibrated, budget),
    'weights by the score itself': (_, calibrated, budget) => {
      const right = griffinStaticPlanner(calibrated, budget)
      const summarize: typeof griffinScores = (...shown) =>
        griffinScores(...shown).map((score) => score * score)
      return { ...right, summarize }
    },
    'keeps all heads': (_, calibrated, budget) =>
      griffinStaticPlanner(calibrated, { ...budget, headSparsity: 0 }),
  })

  findsEach('prompt-static that %s: killed', (make: Make) => keepsItsBest('prompt-static', make), {
    'adds the two scores': (model, calibrated, budget) => {
      const { ranking, ...right } = promptStaticPlanner(model, calibrated, budget)
      return {
        ...right,
        by: 'attention',
        choose: ({ ids }) => {
          const own = scoreText(model, ids, ids)
          const sum = (kind: 'heads' | 'neurons'): Float32Array =>
            own[kind].map((score, i) => score + calibrated[kind][i])
          return selectMask({ ...own, heads: sum('heads'), neurons: sum('neurons') }, ranking.budget)
        },
      }
    },
    'forgets the last token': (model, calibrated, budget) => {
      const right = promptStaticPlanner(model, calibrated, budget)
      return {
        ...right,
        by: 'attention',
        choose: (view) =>
          right.choose({ ...view, ids: view.ids.subarray(0, Math.max(2, view.ids.length - 1)) }),
      }
    },
  })
})

test('the geometric mean of scores, by hand', () => {
  const shape = { layers: 1, heads: 2, neurons: 2 }
  const [a, b] = [
    [4, 0, 1e-30, -1],
    [9, 5, 1e-30, 4],
  ].map((scores) => ({
    shape,
    heads: Float32Array.from(scores.slice(0, 2)),
    neurons: Float32Array.from(scores.slice(2)),
  }))
  const { heads, neurons } = geometricMean(a, b)
  expect([...heads]).toEqual([6, 0])
  expect([...neurons]).toEqual([Math.fround(1e-30), NaN])
})
