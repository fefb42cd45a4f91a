/**
 * What a predictor sees and what it is asked for (arXiv 2406.16635 and its released code).
 *
 * It sees the prompt's layer-0 context: softmax(q kᵀ) v of every head, concatenated, before out_proj, at the last
 * prompt token. Never the answer. Each example is scaled on its own: `min_max` to [0, 1] as in the released code, or
 * `standard` to mean 0 and variance 1.
 *
 * Its targets are a criterion's scores of layers 1 to L-1 (layer 0 is dense and left out): `per_layer` scales each
 * layer of each example to [0, 1], which is what the paper's plots call ShadowLLM; `raw` leaves them as they are.
 */
import type { UnitScores } from '../masks/selection.ts'
import { layer_norm } from '../ops/layer_norm.ts'
import { min_max } from '../ops/min_max.ts'
import type { UnitShape } from '../masks/mask.ts'

export const featureScalings = ['min_max', 'standard'] as const
export type FeatureScaling = (typeof featureScalings)[number]

export const targetScalings = ['per_layer', 'raw'] as const
export type TargetScaling = (typeof targetScalings)[number]

/** The context of the last of `tokens` rows. @param context [T, D] */
export function lastTokenContext(context: Float32Array, tokens: number): Float32Array {
  const width = context.length / tokens
  return context.slice((tokens - 1) * width, tokens * width)
}

/** A row of numbers [D], scaled. */
export function scaleFeatures(row: Float32Array, scaling: FeatureScaling): Float32Array {
  const D = row.length
  const scaled = new Float32Array(D)
  if (scaling === 'min_max') min_max(scaled, row, 1, D)
  else layer_norm(scaled, row, new Float32Array(D).fill(1), new Float32Array(D), 1e-5, 1, D)
  return scaled
}

/** The targets of one kind of unit: [(L-1) U]. */
export function makeTargets(scores: Float32Array, units: number, scaling: TargetScaling): Float32Array {
  const ranked = scores.slice(units)
  if (scaling === 'raw') return ranked
  const targets = new Float32Array(ranked.length)
  min_max(targets, ranked, ranked.length / units, units)
  return targets
}

/** Scores of the whole model from a predictor's outputs; the dense first layer gets zeros. */
export function scoresFromOutputs(shape: UnitShape, heads: Float32Array, neurons: Float32Array): UnitScores {
  const table = (outputs: Float32Array, units: number): Float32Array => {
    const scores = new Float32Array(shape.layers * units)
    scores.set(outputs, units)
    return scores
  }
  return { shape, heads: table(heads, shape.heads), neurons: table(neurons, shape.neurons) }
}
