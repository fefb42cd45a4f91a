/**
 * Calibration examples, from which predictors are trained: the features of a prompt in a dense pass, and the scores of its
 * continuation (arXiv 2406.16635). Features do not depend on the continuation.
 */
import type { UnitScores } from '../masks/selection.ts'

/**
 * The features of a prompt in a dense pass. The output of a layer's heads is softmax(q kᵀ) v of every head, concatenated,
 * before out_proj.
 */
export interface PromptFeatures {
  /** The heads' outputs of every layer at the last prompt token: [L, H K]. */
  readonly last: Float32Array
  /** The heads' outputs of every layer, mean over the prompt: [L, H K]. */
  readonly mean: Float32Array
  /** The residual stream entering each layer at the last prompt token: [L, D]. */
  readonly stream: Float32Array
  /** The heads' outputs of layer 0 at every prompt token: [T, H K]; null if they were not stored. */
  readonly sequence: Float32Array | null
}

/** One window of the calibration set. */
export interface CalibrationExample {
  /** Its index in the set. */
  readonly index: number
  readonly features: PromptFeatures
  /** Scores of every unit, by criterion. */
  readonly scores: ReadonlyMap<string, UnitScores>
  /** Mean negative log-likelihood of the continuation, dense, in nats per token. */
  readonly loss: number
}
