/**
 * The features and targets of predictors (arXiv 2406.16635 and its code).
 *
 * The features are the context of the prompt in an early layer: softmax(q kᵀ) v of every head, concatenated, before
 * out_proj. The answer is never seen. The rows of the prompt are pooled to one: the last token, the mean, or attention
 * pooling (`attention_pool.ts`). Rows are scaled by one of these:
 *
 *   min_max    to [0, 1], each row separately: as in the paper's code
 *   standard   to mean 0 and variance 1, each row separately
 *   dataset    each feature to mean 0 and variance 1 over the training set, whose moments are stored with the predictor;
 *              it helps if rows differ little between examples, as means over a prompt do
 *   none       unchanged: as in DejaVu
 *
 * The targets are the scores of a criterion in the layers that are not dense, scaled by one of these:
 *
 *   per_layer  each layer of each example to [0, 1]: what the paper's plots call ShadowLLM
 *   global     all layers of each example together to [0, 1]
 *   rank       the order of each example's units, all layers together: 1 the highest score, 0 the lowest
 *   root       the square root of each score over the mean of its example: scores have a long tail, which would dominate a
 *              squared error
 *   raw        unchanged
 *
 * Or the targets are labels: whether a unit is among the best, of the model or of its layer.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { layer_norm } from '../ops/layer_norm.ts'
import { min_max } from '../ops/min_max.ts'
import { UsageError } from '../tensor/errors.ts'

export const poolings = ['last', 'mean', 'attention'] as const
export type Pooling = (typeof poolings)[number]

export const featureScalings = ['min_max', 'standard', 'dataset', 'none'] as const
export type FeatureScaling = (typeof featureScalings)[number]

export const targetScalings = ['per_layer', 'raw', 'global', 'rank', 'root'] as const
export type TargetScaling = (typeof targetScalings)[number]

/** The moments of the scaling `dataset`. */
export interface FeatureMoments {
  readonly mean: Float32Array // [D]
  /** The standard deviation; 0 for a constant feature, which is scaled to 0. */
  readonly spread: Float32Array // [D]
}

const { fround } = Math

/** The context of the last of `tokens` rows: [D]. @param context [T, D] */
export function lastTokenContext(context: Float32Array, tokens: number): Float32Array {
  const width = context.length / tokens
  return context.slice((tokens - 1) * width, tokens * width)
}

/** The mean of `tokens` rows: [D], summed in float64. @param context [T, D] */
export function meanContext(context: Float32Array, tokens: number): Float32Array {
  const width = context.length / tokens
  const sums = new Float64Array(width)
  for (let n = 0; n < context.length; n++) sums[n % width] += context[n]
  return Float32Array.from(sums, (total) => total / tokens)
}

/**
 * Rows of numbers, scaled: [T, D].
 * @param rows [T, D]
 * @throws UsageError MOMENTS if the moments of the data set are needed and missing
 */
export function scaleFeatures(
  rows: Float32Array,
  scaling: FeatureScaling,
  moments: FeatureMoments | null = null,
  tokens = 1,
): Float32Array {
  const D = rows.length / tokens
  if (scaling === 'none') return rows.slice()
  if (scaling === 'dataset') return scaleByMoments(rows, moments, D)
  const scaled = new Float32Array(rows.length)
  if (scaling === 'min_max') min_max(scaled, rows, tokens, D)
  else layer_norm(scaled, rows, new Float32Array(D).fill(1), new Float32Array(D), 1e-5, tokens, D)
  return scaled
}

function scaleByMoments(rows: Float32Array, moments: FeatureMoments | null, D: number): Float32Array {
  if (!moments || moments.mean.length !== D || moments.spread.length !== D)
    throw new UsageError(
      'MOMENTS',
      `moments: expected mean and spread of ${D} features, got ${moments?.mean.length ?? 'none'}`,
    )
  const { mean, spread } = moments
  return rows.map((value, n) => (spread[n % D] > 0 ? fround(fround(value - mean[n % D]) / spread[n % D]) : 0))
}

/** Mean and standard deviation of each of `width` columns over all rows: [D] each. @param tables [T, D] each */
export function columnMoments(
  tables: readonly Float32Array[],
  width: number,
): { mean: Float64Array; deviation: Float64Array } {
  const mean = new Float64Array(width)
  const square = new Float64Array(width)
  const rows = tables.reduce((total, table) => total + table.length / width, 0)
  for (const table of tables)
    for (let n = 0; n < table.length; n++) mean[n % width] += table[n] / Math.max(1, rows)
  for (const table of tables)
    for (let n = 0; n < table.length; n++) square[n % width] += (table[n] - mean[n % width]) ** 2
  return { mean, deviation: square.map((total) => Math.sqrt(total / Math.max(1, rows))) }
}

/** The moments of a training set, as they are stored. @param tables [T, D] each */
export function featureMoments(tables: readonly Float32Array[], width: number): FeatureMoments {
  const { mean, deviation } = columnMoments(tables, width)
  return { mean: Float32Array.from(mean), spread: Float32Array.from(deviation) }
}

/** The targets of one kind of unit: [(L - dense) U]. @param scores [L, U] @param dense the number of dense layers */
export function makeTargets(
  scores: Float32Array,
  units: number,
  scaling: TargetScaling,
  dense = 1,
): Float32Array {
  const ranked = scores.slice(dense * units)
  if (scaling === 'raw') return ranked
  if (scaling === 'rank') return ranksOf(ranked)
  if (scaling === 'root') return rootsOf(ranked)
  const targets = new Float32Array(ranked.length)
  const length = scaling === 'per_layer' ? units : ranked.length
  if (length > 0) min_max(targets, ranked, ranked.length / length, length)
  return targets
}

/** 1 for the highest score, 0 for the lowest, evenly between; ties as masks break them, the lower index first. */
function ranksOf(scores: Float32Array): Float32Array {
  const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b)
  const ranks = new Float32Array(scores.length)
  order.forEach((unit, place) => (ranks[unit] = 1 - place / Math.max(1, scores.length - 1)))
  return ranks
}

/** Square roots of scores over their mean magnitude, with the sign of the score. */
function rootsOf(scores: Float32Array): Float32Array {
  let total = 0
  for (const score of scores) total += Math.abs(score)
  const mean = total > 0 ? total / scores.length : 1
  return scores.map((score) => Math.sign(score) * Math.sqrt(Math.abs(score) / mean))
}

/** Scores of the whole model from a predictor's outputs; the dense layers get zeros. */
export function scoresFromOutputs(
  shape: UnitShape,
  heads: Float32Array,
  neurons: Float32Array,
  dense: number,
): UnitScores {
  const table = (outputs: Float32Array, units: number): Float32Array => {
    const scores = new Float32Array(shape.layers * units)
    scores.set(outputs, Math.min(dense, shape.layers) * units)
    return scores
  }
  return { shape, heads: table(heads, shape.heads), neurons: table(neurons, shape.neurons) }
}
