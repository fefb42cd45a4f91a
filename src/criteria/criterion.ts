/**
 * A criterion: a score per unit that estimates the increase of the loss of an example when the unit is removed.
 *
 * Units with low scores are pruned first. All criteria share one forward and one backward pass; the additional passes of a
 * criterion are its cost. Most criteria score single examples; a few are defined only over a whole data set. To add a
 * criterion, add a file with its formula and source in the header, and a line in `index.ts`.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { Gradients } from '../engine/backward.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { Trace } from '../engine/trace.ts'

/** One example, dense: its tokens, the forward pass over them, and the backward pass from the loss of its labels. */
export interface CriterionInput {
  readonly model: LanguageModel
  readonly tokens: Int32Array // [T]
  /** The tokens, or -100 where a position is not scored. */
  readonly labels: Int32Array // [T]
  readonly trace: Trace
  readonly gradients: Gradients
  /** The seed of the example: the only source of randomness. */
  readonly seed: number
}

/** The passes of a criterion in addition to the shared forward and backward pass. */
export interface CriterionCost {
  /** Forward passes. */
  readonly forward: number
  /** Backward passes. */
  readonly backward: number
}

/** What is said of every criterion. */
export interface CriterionDescription {
  readonly name: string
  /** The formula, in one line. */
  readonly formula: string
  readonly cost: CriterionCost
}

/**
 * A criterion that scores each example.
 * @example
 * ```ts
 * import { makeBudget, selectMask, ShadowModel } from 'shadowllm'
 * import type { Criterion } from 'shadowllm/criteria'
 * import { scoreText } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { shape, config } = opt.model
 * // The sizes of what each unit of K numbers gives out, summed over the tokens of a text: from [T, U K] to [U].
 * const sizes = (values: Float32Array, U: number, K: number): number[] => {
 *   const sums = Array.from({ length: U }, () => 0)
 *   for (const [i, value] of values.entries()) {
 *     const unit = Math.floor(i / K) % U
 *     sums[unit] = (sums[unit] ?? 0) + Math.abs(value)
 *   }
 *   return sums
 * }
 * const layers = Array.from({ length: shape.layers }, (_, layer) => layer)
 * const size: Criterion = {
 *   name: 'size',
 *   help: 'The size of what a unit gives out.',
 *   formula: 'sum_t |a|_1',
 *   cost: { forward: 0, backward: 0 }, // beside the two passes that all criteria share
 *   score: ({ trace }) => ({
 *     shape,
 *     heads: Float32Array.from(layers.flatMap((l) => sizes(trace.headOut(l), shape.heads, config.headSize))),
 *     neurons: Float32Array.from(layers.flatMap((l) => sizes(trace.fc1Act(l), shape.neurons, 1))),
 *   }),
 * }
 * const ids = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const mask = selectMask(scoreText(opt.model, ids, ids, size), makeBudget(0.5))
 * console.log(mask.heads.reduce((sum, kept) => sum + kept, 0), 'heads are kept')
 * await opt.dispose()
 * ```
 */
export interface Criterion extends CriterionDescription {
  /** What it scores, in a sentence without formula. */
  readonly help: string
  /** Scores of every unit of every layer: [L, H] and [L, F]. */
  score(input: CriterionInput): UnitScores
}

/** A criterion that scores a data set as a whole. */
export interface DatasetCriterion extends CriterionDescription {
  /** Starts with an empty data set. @param seed of its random draws */
  begin(shape: UnitShape, seed: number): DatasetScores
}

/** The running scores of a data set. */
export interface DatasetScores {
  /** Adds one example. Its trace and gradients are not needed afterwards. */
  add(input: CriterionInput): void
  /** The scores of all examples together. @throws UsageError EXAMPLES if there are no examples */
  finish(): UnitScores
}
