/**
 * The arms of an experiment: a planner at a sparsity, and what it has scored so far.
 */
import { achievedSparsity, type Sparsity } from '../masks/achieved.ts'
import { makeBudget, type Budget, type Scope } from '../masks/budget.ts'
import type { UnitShape } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { TopK, UnitScores } from '../masks/selection.ts'
import {
  oraclePlanner,
  randomPlanner,
  shadowPlanner,
  staticPlanner,
  type PlannerName,
} from '../predictor/planners.ts'
import type { ShadowPredictor } from '../predictor/shadow.ts'
import { PerplexitySum, type WindowScore } from './perplexity.ts'

/** The planners that skip something, in the order they are listed. */
export const sparsePlanners = [
  'oracle',
  'shadow',
  'static',
  'random',
] as const satisfies readonly PlannerName[]

/** What planners decide by; what no arm asks for may be null. */
export interface PlannerInputs {
  readonly shape: UnitShape
  readonly topK: TopK
  readonly mean: UnitScores | null
  readonly predictor: ShadowPredictor | null
}

/** One arm. */
export class Arm {
  readonly planner: PlannerName
  readonly sparsity: number
  readonly budget: Budget
  readonly sum = new PerplexitySum()
  tokensPerSecond: number | null = null
  #achieved: Sparsity = { heads: 0, neurons: 0, weights: 0 }
  #fixed: MaskPlanner | null = null

  constructor(planner: PlannerName, sparsity: number, scope: Scope) {
    this.planner = planner
    this.sparsity = sparsity
    this.budget = makeBudget(sparsity, { scope })
  }

  /** Skipped shares of the whole model, averaged over windows. */
  get achieved(): Sparsity {
    const { heads, neurons, weights } = this.#achieved
    const windows = Math.max(1, this.sum.windows)
    return { heads: heads / windows, neurons: neurons / windows, weights: weights / windows }
  }

  /** Counts a scored window. @param width D */
  add(score: WindowScore, width: number): void {
    this.sum.add(score)
    if (score.mask === null) return
    const { heads, neurons, weights } = achievedSparsity(score.mask, width)
    this.#achieved = {
      heads: this.#achieved.heads + heads,
      neurons: this.#achieved.neurons + neurons,
      weights: this.#achieved.weights + weights,
    }
  }

  /**
   * Who decides for one window; null is dense.
   * @param truth the window's own scores, which only the oracle looks at
   * @param seed of the window's random mask; the same for every sparsity, so that those masks are nested
   */
  plan(inputs: PlannerInputs, truth: UnitScores | null, seed: number): MaskPlanner | null {
    const { shape, topK, mean, predictor } = inputs
    if (this.planner === 'oracle' && truth) return oraclePlanner(truth, this.budget, topK)
    if (this.planner === 'random') return randomPlanner(shape, this.budget, seed, topK)
    if (this.planner === 'shadow' && predictor) return shadowPlanner(predictor, this.budget, topK)
    if (this.planner === 'static' && mean) return (this.#fixed ??= staticPlanner(mean, this.budget, topK))
    if (this.planner === 'dense') return null
    throw new TypeError(`${this.planner}: expected the scores it decides by, got none`)
  }
}

/** Dense first, then every planner at every sparsity. */
export function makeArms(
  planners: readonly PlannerName[],
  sparsities: readonly number[],
  scope: Scope,
): Arm[] {
  const arms = [new Arm('dense', 0, scope)]
  for (const sparsity of sparsities)
    for (const planner of sparsePlanners)
      if (planners.includes(planner)) arms.push(new Arm(planner, sparsity, scope))
  return arms
}
