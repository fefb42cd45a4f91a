/**
 * jacov: how well a unit distinguishes tokens, measured by the correlation of its gradients at different tokens (Jacobian
 * covariance, Mellor et al. 2021, first version of "Neural Architecture Search without Training"). It scores a whole data
 * set.
 *
 *   score = - mean over the eigenvalues v of C of ( ln(v + k) + 1 / (v + k) ),  k = 1e-5
 *
 * C is the matrix of correlations between the rows of N tokens drawn at random, and the score the mean over ten draws.
 *   head:    a token's row is g[t, h] = dL/da, of K numbers
 *   neuron:  its row is the gradient of the neuron's incoming weights, gz[t, j] x[t], of D numbers; turning the sign of a
 *            row leaves the eigenvalues as they are, so the neuron's are those of its inputs, over tokens it fired on
 * Rows that are zero do not count. N = K / 2 (at most 200, at least 2): with more tokens than a row has numbers, C is
 * singular by construction and 1/(v + k) of its zero eigenvalues dominates the score, which happens in
 * the released code of ShadowLLM (200 rows of 64 numbers; heads only). A mean over eigenvalues, not a sum, lets units
 * with fewer than N rows be compared; a unit with fewer than two is scored as one that distinguishes nothing.
 *
 * Neither logarithms nor inverses need the eigenvalues: sum ln(v + k) = ln det(C + k I), sum 1/(v + k) = tr (C + k I)⁻¹.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { Random } from '../tensor/random.ts'
import { cholesky, inverseTrace, logDeterminant } from './cholesky.ts'
import type { DatasetCriterion } from './criterion.ts'
import { correlation, TokenSample } from './token_sample.ts'
import { scoreLayers } from './unit_scores.ts'

/** The number of sampled tokens of a data set. */
const CAPACITY = 512
const DRAWS = 10
const MAX_ROWS = 200
const EPSILON = 1e-5

/** Correlations of rows i and j. */
type Correlations = (i: number, j: number) => number

/** How many tokens a draw compares, for heads of a size. */
export function rowsPerDraw(headSize: number): number {
  return Math.max(2, Math.min(MAX_ROWS, headSize >> 1))
}

/** Minus the mean over eigenvalues of ln(v + k) + 1 / (v + k), of the correlations between rows 0..N-1. */
export function spectralScore(correlations: Correlations, N: number): number {
  const matrix = new Float64Array(N * N)
  for (let i = 0; i < N; i++)
    for (let j = 0; j <= i; j++) matrix[i * N + j] = i === j ? 1 + EPSILON : correlations(i, j)
  const factor = cholesky(matrix, N)
  return -(logDeterminant(factor, N) + inverseTrace(factor, N)) / N
}

/** The mean over draws of N of the rows. */
function meanOverDraws(rows: Int32Array, correlations: Correlations, N: number, random: Random): number {
  if (rows.length < 2) return spectralScore(() => 1, N)
  if (rows.length <= N) return spectralScore((i, j) => correlations(rows[i], rows[j]), rows.length)
  let total = 0
  for (let draw = 0; draw < DRAWS; draw++) {
    for (let i = 0; i < N; i++) {
      const j = i + random.below(rows.length - i)
      const kept = rows[i]
      rows[i] = rows[j]
      rows[j] = kept
    }
    total += spectralScore((i, j) => correlations(rows[i], rows[j]), N)
  }
  return total / DRAWS
}

/** The indices of the rows that exist. */
function placesOf(there: (place: number) => boolean, length: number): Int32Array {
  return Int32Array.from({ length }, (_, place) => place).filter(there)
}

function scoreSample(sample: TokenSample, shape: UnitShape, seed: number): UnitScores {
  const { tokens, headSize } = sample
  const random = new Random(seed)
  const N = rowsPerDraw(headSize)
  const scoreHead = (layer: number, head: number): number => {
    const rows = sample.headRows(layer, head)
    const present = placesOf((place) => rows[place] !== null, rows.length)
    const empty = new Float64Array(0)
    return meanOverDraws(present, (i, j) => correlation(rows[i] ?? empty, rows[j] ?? empty), N, random)
  }
  const scoreNeurons = (layer: number): Float64Array => {
    const rows = sample.inputRows(layer)
    const known = new Float64Array(rows.length ** 2)
    rows.forEach((a, i) =>
      rows.forEach((b, j) => {
        if (a && b && j <= i) known[i * rows.length + j] = known[j * rows.length + i] = correlation(a, b)
      }),
    )
    return Float64Array.from({ length: shape.neurons }, (_, neuron) => {
      const there = (place: number): boolean =>
        rows[place] !== null && tokens[place].layers[layer].reached[neuron] === 1
      const present = placesOf(there, rows.length)
      return meanOverDraws(present, (i, j) => known[i * rows.length + j], N, random)
    })
  }
  return scoreLayers(
    shape,
    (layer) => Float64Array.from({ length: shape.heads }, (_, head) => scoreHead(layer, head)),
    scoreNeurons,
  )
}

/** Jacobian covariance of units. */
export const jacov: DatasetCriterion = {
  name: 'jacov',
  formula:
    '-mean_v (ln(v + k) + 1/(v + k)), v the eigenvalues of the correlations of gradients between tokens',
  cost: { forward: 0, backward: 0 },
  begin: (shape, seed) => {
    const sample = new TokenSample(CAPACITY, seed)
    return {
      add: (input) => sample.add(input, () => true),
      finish: () => scoreSample(sample, shape, seed),
    }
  },
}
