/**
 * What calibration gives and training takes: an example is what a prompt shows of itself in a dense pass, and what a
 * criterion says its continuation needs (arXiv 2406.16635). Features never see the continuation.
 */
import type { UnitScores } from '../masks/selection.ts'

/**
 * What a dense pass over a prompt shows. The output of a layer's heads is softmax(q kᵀ) v of every head, concatenated,
 * before out_proj.
 */
export interface PromptFeatures {
  /** The heads' outputs of every layer at the last prompt token: [L, D]. */
  readonly last: Float32Array
  /** The heads' outputs of every layer, mean over the prompt: [L, D]. */
  readonly mean: Float32Array
  /** The residual stream entering each layer at the last prompt token: [L, D]. */
  readonly stream: Float32Array
  /** The heads' outputs of layer 0 at every prompt token: [T, D]; null where they were not kept. */
  readonly sequence: Float32Array | null
}

/** One window of the calibration set. */
export interface CalibrationExample {
  /** Its place in the set. */
  readonly index: number
  readonly features: PromptFeatures
  /** Scores of every unit, by criterion. */
  readonly scores: ReadonlyMap<string, UnitScores>
  /** Mean negative log-likelihood of the continuation, dense, in nats per token. */
  readonly loss: number
}
