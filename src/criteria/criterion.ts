/**
 * What a criterion is: a number per unit that says how much the loss of one example minds losing it.
 *
 * Low scores are pruned first. A criterion reads one forward pass and its backward pass, which all criteria share; what
 * it runs besides is its cost. Most criteria score example by example. A few have a meaning only over a whole data set.
 * Adding one is a file with its formula and source in the header, and a line in `index.ts`.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { Gradients } from '../engine/backward.ts'
import type { OptModel } from '../engine/opt_model.ts'
import type { Trace } from '../engine/trace.ts'

/** One example, dense: its tokens, the forward pass over them, and the backward pass from the loss of its labels. */
export interface CriterionInput {
  readonly model: OptModel
  readonly tokens: Int32Array // [T]
  /** The tokens, or -100 where a position is not scored. */
  readonly labels: Int32Array // [T]
  readonly trace: Trace
  readonly gradients: Gradients
  /** The example's own. All that is drawn at random comes from it. */
  readonly seed: number
}

/** Passes over the example's tokens that a criterion runs besides the shared forward and backward pass. */
export interface CriterionCost {
  readonly forward: number
  readonly backward: number
}

/** A criterion that scores each example. */
export interface Criterion {
  readonly name: string
  /** The formula, in one line. */
  readonly formula: string
  readonly cost: CriterionCost
  /** Scores of every unit of every layer: [L, H] and [L, F]. */
  score(input: CriterionInput): UnitScores
}

/** A criterion that scores a data set as a whole. */
export interface DatasetCriterion {
  readonly name: string
  /** The formula, in one line. */
  readonly formula: string
  readonly cost: CriterionCost
  /** Starts on an empty data set. @param seed of what is drawn at random */
  begin(shape: UnitShape, seed: number): DatasetScores
}

/** A data set being scored. */
export interface DatasetScores {
  /** Takes in one example. Its trace and gradients are not needed afterwards. */
  add(input: CriterionInput): void
  /** The scores of all examples together. @throws UsageError EXAMPLES if there was none */
  finish(): UnitScores
}
