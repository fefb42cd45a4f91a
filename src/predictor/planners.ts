/**
 * The planners that decide once for the whole model: where their scores come from is all that tells them apart.
 *
 *   dense    no scores: everything is computed
 *   static   the mean scores of the calibration set, the same for every sequence
 *   random   seeded noise, new for every sequence
 *   oracle   the true scores of this very window, which needs its answer: the bound no predictor can pass
 *   shadow   scores predicted from the prompt's layer-0 context
 */
import type { Budget } from '../masks/budget.ts'
import { denseMask, type UnitMask, type UnitShape } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { referenceTopK, selectMask, type TopK, type UnitScores } from '../masks/selection.ts'
import { Random } from '../tensor/random.ts'
import type { ShadowPredictor } from './shadow.ts'

/** Names of the planners of this page, in the order of a table. */
export const plannerNames = ['dense', 'static', 'random', 'oracle', 'shadow'] as const
export type PlannerName = (typeof plannerNames)[number]

/** Computes everything. */
export function densePlanner(shape: UnitShape): MaskPlanner {
  const mask = denseMask(shape)
  return { name: 'dense', afterAttention: () => mask }
}

/** The same mask for every sequence, from the scores of a calibration set. */
export function staticPlanner(scores: UnitScores, budget: Budget, topK: TopK = referenceTopK): MaskPlanner {
  const mask = selectMask(scores, budget, topK)
  return { name: 'static', afterAttention: () => mask }
}

/** A mask of noise; the n-th sequence of two planners of the same seed gets the same one. */
export function randomPlanner(
  shape: UnitShape,
  budget: Budget,
  seed: number,
  topK: TopK = referenceTopK,
): MaskPlanner {
  const random = new Random(seed)
  return {
    name: 'random',
    afterAttention: () => selectMask(randomScores(shape, random), budget, topK),
  }
}

/** Scores in [0, 1), drawn head by head, then neuron by neuron. */
export function randomScores(shape: UnitShape, random: Random): UnitScores {
  const draw = (length: number): Float32Array => Float32Array.from({ length }, () => random.uniform())
  return {
    shape,
    heads: draw(shape.layers * shape.heads),
    neurons: draw(shape.layers * shape.neurons),
  }
}

/** A mask from the true scores of the sequence at hand; made anew for each sequence. */
export function oraclePlanner(scores: UnitScores, budget: Budget, topK: TopK = referenceTopK): MaskPlanner {
  return { name: 'oracle', afterAttention: () => selectMask(scores, budget, topK) }
}

/** A mask from predicted scores: the paper's planner. */
export function shadowPlanner(
  predictor: ShadowPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
): MaskPlanner {
  return {
    name: 'shadow',
    afterAttention({ context, tokens }): UnitMask {
      return selectMask(predictor.predict(context, tokens), budget, topK)
    },
  }
}
