/**
 * Ridge regression in the principal directions of the features, in closed form.
 *
 *   K     = z zᵀ / D                         z: features of N examples, each of mean 0 and variance 1
 *   Q     the r leading directions of K      [N, r], orthonormal
 *   v(x)  = Qᵀ z x / D                       what an example x is in these directions: [r]
 *   y(x)  = A v(x),  A = Yᵀ Q (Qᵀ K Q + λ I)⁻¹       targets: [O]
 *
 * With r = N this is ridge regression on all features, written by its kernel. Fewer directions make a smaller predictor: those
 * whose variance is well below λ predict almost nothing. Q comes from subspace iteration, which needs no more of the matrix
 * than its product. Everything is in float64 and becomes float32 once.
 */
import { cholesky, solveCholesky } from '../criteria/cholesky.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'

/** A linear map of rank r: y = outputs · (inputs · x). */
export interface LowRankMap {
  readonly rank: number
  readonly inputs: Float32Array // [r, D]
  readonly outputs: Float32Array // [O, r]
}

/** How it is fitted. */
export interface RidgeOptions {
  /** λ, above 0. */
  readonly penalty: number
  /** r; as many as there are examples if these are fewer. */
  readonly rank: number
}

/** Multiplications by K. Directions that matter stand apart from the others by far more than this needs. */
const ITERATIONS = 60

/**
 * Fits targets by features.
 * @param features z: a row of D numbers for each of N examples
 * @param targets Y: a row of O numbers for each, of mean 0
 * @throws UsageError EXAMPLES for none, or for rows of several lengths; PENALTY
 */
export function fitRidge(
  features: readonly Float32Array[],
  targets: readonly Float32Array[],
  { penalty, rank: most }: RidgeOptions,
): LowRankMap {
  const N = features.length
  if (N === 0 || targets.length !== N || !isTable(features) || !isTable(targets))
    throw new UsageError(
      'EXAMPLES',
      `examples: expected rows of features and as many of targets, each of one length, got ${N} and ${targets.length}`,
    )
  if (!(penalty > 0)) throw new UsageError('PENALTY', `penalty: expected a number above 0, got ${penalty}`)
  const r = Math.min(most, N)
  const D = features[0].length
  const K = gramMatrix(features)
  const Q = leadingDirections(K, N, r)
  const system = multiplyTransposed(Q, multiply(K, Q, N, r), N, r)
  for (let i = 0; i < r; i++) system[i * r + i] += penalty
  const factor = cholesky(system, r)
  return {
    rank: r,
    inputs: Float32Array.from(combine(Q, features, r), (sum) => sum / D),
    outputs: solveRows(factor, combine(Q, targets, r), r),
  }
}

function isTable(rows: readonly Float32Array[]): boolean {
  return rows.every(({ length }) => length === rows[0].length)
}

/** K: [N, N]. */
function gramMatrix(z: readonly Float32Array[]): Float64Array {
  const N = z.length
  const D = z[0].length
  const K = new Float64Array(N * N)
  for (let i = 0; i < N; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0
      for (let d = 0; d < D; d++) sum += z[i][d] * z[j][d]
      K[i * N + j] = K[j * N + i] = sum / D
    }
  return K
}

/** An orthonormal basis [N, r] of what K stretches most. */
function leadingDirections(K: Float64Array, N: number, r: number): Float64Array {
  const random = new Random(0)
  let Q: Float64Array = Float64Array.from({ length: N * r }, () => random.normal())
  orthonormalize(Q, N, r)
  for (let i = 0; i < ITERATIONS; i++) {
    Q = multiply(K, Q, N, r)
    orthonormalize(Q, N, r)
  }
  return Q
}

/**
 * Gram and Schmidt, twice for each column, because once leaves what rounding brought back. Where K stretches fewer directions
 * than are asked for, columns may be left zero: nothing is predicted from those.
 */
function orthonormalize(Q: Float64Array, N: number, r: number): void {
  for (let column = 0; column < r; column++)
    for (let again = 0; again < 2; again++) {
      for (let other = 0; other < column; other++) {
        let along = 0
        for (let n = 0; n < N; n++) along += Q[n * r + other] * Q[n * r + column]
        for (let n = 0; n < N; n++) Q[n * r + column] -= along * Q[n * r + other]
      }
      let squares = 0
      for (let n = 0; n < N; n++) squares += Q[n * r + column] ** 2
      if (squares > 0) for (let n = 0; n < N; n++) Q[n * r + column] /= Math.sqrt(squares)
    }
}

/** K Q: [N, r]. */
function multiply(K: Float64Array, Q: Float64Array, N: number, r: number): Float64Array {
  const product = new Float64Array(N * r)
  for (let i = 0; i < N; i++)
    for (let k = 0; k < N; k++) {
      const factor = K[i * N + k]
      for (let j = 0; j < r; j++) product[i * r + j] += factor * Q[k * r + j]
    }
  return product
}

/** Aᵀ B of two [N, r]: [r, r]. */
function multiplyTransposed(A: Float64Array, B: Float64Array, N: number, r: number): Float64Array {
  const product = new Float64Array(r * r)
  for (let n = 0; n < N; n++)
    for (let i = 0; i < r; i++) for (let j = 0; j < r; j++) product[i * r + j] += A[n * r + i] * B[n * r + j]
  return product
}

/** Qᵀ rows: [r, W], where rows are [N, W]. */
function combine(Q: Float64Array, rows: readonly Float32Array[], r: number): Float64Array {
  const W = rows[0].length
  const sums = new Float64Array(r * W)
  for (const [n, row] of rows.entries())
    for (let i = 0; i < r; i++) {
      const factor = Q[n * r + i]
      for (let w = 0; w < W; w++) sums[i * W + w] += factor * row[w]
    }
  return sums
}

/** The transpose of the solution X of (G Gᵀ) X = B: [O, r], where B is [r, O]. */
function solveRows(factor: Float64Array, B: Float64Array, r: number): Float32Array {
  const O = B.length / r
  const solved = new Float32Array(O * r)
  const column = new Float64Array(r)
  for (let o = 0; o < O; o++) {
    for (let i = 0; i < r; i++) column[i] = B[i * O + o]
    solved.set(solveCholesky(factor, column), o * r)
  }
  return solved
}
