/**
 * Laws of scores that are learnt through the mask (src/training/learn_scores.ts).
 *
 * Tests src/engine/divergence.ts.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { compensationBy } from '../../src/compensation/compensate.ts'
import { HeldMoments, summarize } from '../../src/compensation/held_moments.ts'
import { MomentSums } from '../../src/compensation/moments.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { logitsDivergence } from '../../src/engine/divergence.ts'
import { makeBudget, type Budget } from '../../src/masks/budget.ts'
import type { Compensation } from '../../src/masks/compensation.ts'
import { makeMask, unitKinds, type UnitMask } from '../../src/masks/mask.ts'
import type { Prefill } from '../../src/masks/planner.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import {
  groupsOf,
  maskedDivergence,
  ScoreLearner,
  softMask,
  type MaskedDivergence,
} from '../../src/training/learn_scores.ts'
import { movedMask } from '../criteria/passes.ts'
import { smallCase, withModel, type ModelCase } from '../engine/cases.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'

const subject = { backend: new ReferenceBackend(), load: LanguageModel.load }

/** Of the Llama family: smooth everywhere. */
const smoothCase: ModelCase = {
  ...smallCase,
  positions: 9,
  llama: { groups: 1, pairs: 2, biases: false, rotary: { base: 10_000, scaling: null }, epsilon: 1e-5 },
}

/** A table of numbers for each kind of unit. */
function tablesOf(shape: UnitScores['shape'], draw: () => number): UnitMask {
  const table = (units: number): Float32Array => Float32Array.from({ length: shape.layers * units }, draw)
  return makeMask(shape, table(shape.heads), table(shape.neurons))
}

// ---- The derivative ----------------------------------------------------------------------------------------------

/** A text, where its prompt ends, and how the prompt runs. */
interface Text {
  readonly tokens: Int32Array
  readonly promptLength: number
  readonly prefill: Prefill
}

/** Logits after each token behind the prompt, from sequences. */
function logitsAfter(
  model: LanguageModel,
  { tokens, promptLength, prefill }: Text,
  mask: UnitMask | null,
  compensation: Compensation | null = null,
): Float32Array {
  const planner = {
    name: 'given',
    prefill,
    sourceLayer: 0,
    by: 'attention' as const,
    choose: () => mask as UnitMask,
    ...(compensation && { compensation }),
  }
  const isDense = mask !== null && prefill === 'dense'
  const sequence = model.begin({ mode: 'simulate', ...(isDense ? { planner } : { mask, compensation }) })
  try {
    sequence.feed(tokens.slice(0, promptLength), 'none')
    return sequence.feed(tokens.slice(promptLength), 'all')
  } finally {
    sequence.dispose()
  }
}

/** KL(dense || under a mask), the mean over what follows each token behind the prompt, from the logits of sequences. */
function divergenceOf(
  model: LanguageModel,
  text: Text,
  mask: UnitMask,
  compensation: Compensation | null = null,
): number {
  const V = model.config.vocabulary
  const [dense, masked] = [logitsAfter(model, text, null), logitsAfter(model, text, mask, compensation)]
  const count = dense.length / V
  let sum = 0
  for (let t = 0; t < count; t++)
    sum += logitsDivergence(dense.subarray(t * V, (t + 1) * V), masked.subarray(t * V, (t + 1) * V))
  return sum / count
}

/** The same with its derivative, as it is learnt from. */
type Diverge = (model: LanguageModel, text: Text, mask: UnitMask) => MaskedDivergence

const diverges: Diverge = (model, { tokens, promptLength, prefill }, mask) => {
  const dense = traceForward(model, tokens)
  try {
    return maskedDivergence(model, { dense, promptLength }, mask, prefill)
  } finally {
    dense.dispose()
  }
}

const derivative = lawForAll(
  'the divergence is that of the logits, and its derivative by the mask that of finite differences',
  {
    weights: fc.integer(),
    promptLength: fc.integer({ min: 1, max: 6 }),
    prefill: fc.constantFrom('dense', 'masked'),
    data: anyData,
  },
  (diverge: Diverge, { weights, promptLength, prefill, data }) =>
    withModel(subject, { ...smoothCase, seed: weights }, (model) => {
      const text = { tokens: data.ids('tokens', 8, model.config.vocabulary), promptLength, prefill }
      const mask = tablesOf(model.shape, () => data.uniform())
      const direction = tablesOf(model.shape, () => data.uniform() - 0.5)
      const { kl, gradients } = diverge(model, text, mask)
      expect(kl).toBeCloseTo(divergenceOf(model, text, mask), 5)
      const [over, under] = [2 ** -9, -(2 ** -9)].map((by) =>
        divergenceOf(model, text, movedMask(direction, by, mask)),
      )
      let slope = 0
      for (const kind of unitKinds)
        gradients[kind].forEach((value, u) => (slope += value * direction[kind][u]))
      const difference = (over - under) / 2 ** -8
      expect(Math.abs(slope - difference)).toBeLessThan(0.02 * (Math.abs(difference) + kl) + 1e-3)
    }),
  { runs: 40 },
)
stateLaw(derivative, diverges)

test('a derivative of the other sign, of one kind alone, of all positions or of another prompt is found', async () => {
  const wrong =
    (change: (gradients: UnitScores) => Partial<UnitScores>): Diverge =>
    (...args) => {
      const { kl, gradients } = diverges(...args)
      return { kl, gradients: { ...gradients, ...change(gradients) } }
    }
  await kills(
    derivative,
    wrong(({ neurons }) => ({ neurons: neurons.map((value) => -value) })),
  )
  await kills(
    derivative,
    wrong(({ heads }) => ({ heads: heads.map(() => 0) })),
  )
  const otherPrefill = { dense: 'masked', masked: 'dense' } as const
  await kills(derivative, (model, text, mask) => diverges(model, { ...text, promptLength: 1 }, mask))
  await kills(derivative, (model, text, mask) =>
    diverges(model, { ...text, prefill: otherPrefill[text.prefill] }, mask),
  )
})

// ---- The mask ----------------------------------------------------------------------------------------------------

type Soften = (scores: UnitScores, budget: Budget) => UnitMask

const soften: Soften = (scores, budget) => softMask(scores, groupsOf(scores.shape, budget), 0.05)

const agreement = lawForAll(
  'the mask is at least a half for the units that are kept, below for those that are skipped, and 1 in dense layers',
  {
    heads: fc.integer({ min: 0, max: 100 }),
    neurons: fc.integer({ min: 0, max: 100 }),
    scope: fc.constantFrom('global', 'per-layer'),
    data: anyData,
  },
  (make: Soften, { heads, neurons, scope, data }) => {
    const scores = tablesOf({ layers: 3, heads: 4, neurons: 9 }, () => data.uniform())
    const options = { headSparsity: heads / 100, neuronSparsity: neurons / 100, headFloor: 0, scope }
    const budget = makeBudget(0, options)
    const [soft, hard] = [make(scores, budget), selectMask(scores, budget)]
    for (const kind of unitKinds)
      soft[kind].forEach((value, u) => {
        expect(value >= 0.5 ? 1 : 0, `${kind} ${u}`).toBe(hard[kind][u])
        if (u < scores[kind].length / 3) expect(value).toBe(1)
      })
  },
)
stateLaw(agreement, soften)

test('a mask with the cut at the best skipped unit, and one over all layers, are found', async () => {
  const moved = (budget: Budget): Budget => ({
    ...budget,
    neuronSparsity: Math.max(0, budget.neuronSparsity - 0.2),
  })
  await kills(agreement, (scores, budget) => soften(scores, moved(budget)))
  await kills(agreement, (scores, budget) => soften(scores, { ...budget, denseLayers: 0 }))
})

// ---- Learning ----------------------------------------------------------------------------------------------------

/** Moments of the activations of one text. */
function momentsOf(model: LanguageModel, tokens: Int32Array): HeldMoments {
  const sums = new MomentSums(model)
  try {
    sums.add(tokens)
    const layers = Array.from({ length: model.shape.layers }, (_, layer) => sums.layer(layer))
    const [heads, neurons] = unitKinds.map((kind) =>
      layers.map((one) => ({
        ...summarize(one[kind], tokens.length),
        worths: new Float32Array(model.shape[kind]),
      })),
    )
    return new HeldMoments(model.shape, [{ heads, neurons }])
  } finally {
    sums.dispose()
  }
}

/** Whether the kept units make up for the skipped ones: nowhere, where KL is taken, or where scores are learnt too. */
type Compensated = 'nowhere' | 'at the end' | 'while learnt'

/** KL under the hard mask before and after so many steps on one text, from scores that are drawn. */
async function learnt(rate?: number, compensated: Compensated = 'nowhere'): Promise<[number, number]> {
  const ends: [number, number] = [0, 0]
  await withModel(subject, { ...smoothCase, layers: 3, neurons: 20, positions: 16 }, (model) => {
    const data = new Data(7)
    const text: Text = {
      tokens: data.ids('tokens', 16, model.config.vocabulary),
      promptLength: 4,
      prefill: 'dense',
    }
    const start = tablesOf(model.shape, () => data.uniform())
    const budget = makeBudget(0.5, { scope: 'per-layer', headSparsity: 0 })
    const held = momentsOf(model, text.tokens)
    const compensation = compensated === 'nowhere' ? null : compensationBy(held, { by: 'least-squares' })
    const moments = compensated === 'while learnt' ? held : undefined
    const learner = new ScoreLearner(model, start, budget, { steps: 60, ...(rate && { rate }), moments })
    const { scores } = learner.state
    const hard = (): number => divergenceOf(model, text, selectMask(scores, budget), compensation)
    ends[0] = hard()
    expect(selectMask(scores, budget).neurons).toEqual(selectMask(start, budget).neurons)
    const dense = traceForward(model, text.tokens)
    for (let step = 0; step < 60; step++) learner.step({ dense, promptLength: text.promptLength })
    dense.dispose()
    ends[1] = hard()
    expect(scores.heads).toEqual(start.heads)
  })
  return ends
}

test('scores that are learnt on a text skip half of the neurons at less than half of the divergence', async () => {
  const [before, after] = await learnt(0.02)
  expect(after).toBeLessThan(0.5 * before)
})

test('of a compensated model, scores learnt with compensation skip half of the neurons at less than half of the divergence of others', async () => {
  const [[before, after], [, other]] = [await learnt(0.02, 'while learnt'), await learnt(0.02, 'at the end')]
  expect(after).toBeLessThan(0.5 * before)
  expect(after).toBeLessThan(0.5 * other)
})

test('steps in the other direction do not', async () => {
  const [before, after] = await learnt(-0.02)
  expect(after).toBeGreaterThan(before)
})
