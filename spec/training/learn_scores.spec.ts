/**
 * Laws of scores that are learnt through the mask (src/training/learn_scores.ts).
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { logitsDivergence } from '../../src/evaluation/score_window.ts'
import { makeBudget, type Budget } from '../../src/masks/budget.ts'
import { makeMask, unitKinds, type UnitMask } from '../../src/masks/mask.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import {
  groupsOf,
  maskedDivergence,
  ScoreLearner,
  softMask,
  type LearningText,
} from '../../src/training/learn_scores.ts'
import { movedMask } from '../criteria/passes.ts'
import { feedOnce, smallCase, withModel, type ModelCase } from '../engine/cases.ts'
import { Data } from '../harness/data.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

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

/** KL(dense || under a mask), the mean over what follows the prompt, from the logits of sequences. */
function divergenceOf(model: LanguageModel, { tokens, promptLength }: LearningText, mask: UnitMask): number {
  const V = model.config.vocabulary
  const [dense, masked] = [feedOnce(model, tokens), feedOnce(model, tokens, { mask, mode: 'simulate' })]
  let sum = 0
  for (let t = promptLength - 1; t < tokens.length - 1; t++)
    sum += logitsDivergence(dense.subarray(t * V, (t + 1) * V), masked.subarray(t * V, (t + 1) * V))
  return sum / (tokens.length - promptLength)
}

const derivative = lawForAll<typeof maskedDivergence, [number, number]>(
  'the divergence is that of the logits, and its derivative by the mask that of finite differences',
  [fc.integer(), fc.integer({ min: 1, max: 7 })],
  (diverge, seed, promptLength) =>
    withModel(subject, { ...smoothCase, seed }, (model) => {
      const data = new Data(seed)
      const text = { tokens: data.ids(8, model.config.vocabulary), promptLength }
      const mask = tablesOf(model.shape, () => data.uniform())
      const direction = tablesOf(model.shape, () => data.uniform() - 0.5)
      const { kl, gradients } = diverge(model, text, mask)
      expect(kl).toBeCloseTo(divergenceOf(model, text, mask), 5)
      const [over, under] = [2 ** -6, -(2 ** -6)].map((by) =>
        divergenceOf(model, text, movedMask(direction, by, mask)),
      )
      let slope = 0
      for (const kind of unitKinds)
        gradients[kind].forEach((value, u) => (slope += value * direction[kind][u]))
      const difference = (over - under) / 2 ** -5
      expect(Math.abs(slope - difference)).toBeLessThan(0.02 * (Math.abs(difference) + kl) + 1e-3)
    }),
  { runs: 20 },
)
stateLaw(derivative, maskedDivergence)

test('a derivative of the other sign, of one kind alone or of all positions is found', async () => {
  const wrong =
    (change: (gradients: UnitScores) => Partial<UnitScores>): typeof maskedDivergence =>
    (...args) => {
      const { kl, gradients } = maskedDivergence(...args)
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
  await kills(derivative, (model, text, mask) => maskedDivergence(model, { ...text, promptLength: 1 }, mask))
})

// ---- The mask ----------------------------------------------------------------------------------------------------

type Soften = (scores: UnitScores, budget: Budget) => UnitMask

const soften: Soften = (scores, budget) => softMask(scores, groupsOf(scores.shape, budget), 0.05)

const agreement = lawForAll<Soften, [number, number, number, Budget['scope']]>(
  'the mask is at least a half for the units that are kept, below for those that are skipped, and 1 in dense layers',
  [
    fc.integer(),
    fc.integer({ min: 0, max: 100 }),
    fc.integer({ min: 0, max: 100 }),
    fc.constantFrom('global', 'per-layer'),
  ],
  (make, seed, heads, neurons, scope) => {
    const data = new Data(seed)
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

/** KL under the hard mask before and after so many steps on one text, from scores that are drawn. */
async function learnt(rate?: number): Promise<[number, number]> {
  const ends: [number, number] = [0, 0]
  await withModel(subject, { ...smoothCase, layers: 3, neurons: 20, positions: 16 }, (model) => {
    const data = new Data(7)
    const text = { tokens: data.ids(16, model.config.vocabulary), promptLength: 4 }
    const start = tablesOf(model.shape, () => data.uniform())
    const budget = makeBudget(0.5, { scope: 'per-layer', headSparsity: 0 })
    const learner = new ScoreLearner(model, start, budget, { steps: 60, ...(rate && { rate }) })
    const hard = (): number => divergenceOf(model, text, selectMask(learner.scores, budget))
    ends[0] = hard()
    expect(selectMask(learner.scores, budget).neurons).toEqual(selectMask(start, budget).neurons)
    for (let step = 0; step < 60; step++) learner.step(text)
    ends[1] = hard()
    expect(learner.scores.heads).toEqual(start.heads)
  })
  return ends
}

test('scores that are learnt on a text skip half of the neurons at less than half of the divergence', async () => {
  const [before, after] = await learnt(0.02)
  expect(after).toBeLessThan(0.5 * before)
})

test('steps in the other direction do not', async () => {
  const [before, after] = await learnt(-0.02)
  expect(after).toBeGreaterThan(before)
})
