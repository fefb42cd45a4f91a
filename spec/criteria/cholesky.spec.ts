/**
 * Determinants and inverses of small symmetric matrices, against elimination with exchange of rows and, for matrices
 * whose eigenvalues are known, against those.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cholesky, inverseTrace, logDeterminant, solveCholesky } from '../../src/criteria/cholesky.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { determinant } from './determinant.ts'

/** What is judged: ln det and tr of the inverse of a matrix. */
type Measure = (matrix: Float64Array, N: number) => { logDet: number; trace: number }

const ours: Measure = (matrix, N) => {
  const factor = cholesky(matrix, N)
  return { logDet: logDeterminant(factor, N), trace: inverseTrace(factor, N) }
}

/** I + B Bᵀ of a random B. */
function positive(N: number, seed: number): Float64Array {
  const data = new Data(seed)
  const b = data.floats('b', [N, N])
  const matrix = new Float64Array(N * N)
  for (let i = 0; i < N; i++)
    for (let j = 0; j < N; j++) {
      matrix[i * N + j] = i === j ? 1 : 0
      for (let k = 0; k < N; k++) matrix[i * N + j] += b[i * N + k] * b[j * N + k]
    }
  return matrix
}

/** A matrix without a row and its column. */
function minor(matrix: Float64Array, N: number, out: number): Float64Array {
  return matrix.filter((_, index) => Math.floor(index / N) !== out && index % N !== out)
}

const isDeterminantAndInverse = lawForAll(
  'ln det and the trace of the inverse are those of elimination',
  { N: fc.integer({ min: 1, max: 9 }), seed: fc.integer() },
  (measure: Measure, { N, seed }) => {
    const matrix = positive(N, seed)
    const { logDet, trace } = measure(matrix, N)
    const whole = determinant(matrix, N)
    // Each pivot's logarithm is taken in float32.
    expect(Math.abs(logDet - Math.log(whole))).toBeLessThan(1e-6 * (N + Math.abs(Math.log(whole))))
    let expected = 0
    for (let i = 0; i < N; i++) expected += determinant(minor(matrix, N, i), N - 1) / whole
    expect(trace / expected).toBeCloseTo(1, 8)
  },
)
stateLaw(isDeterminantAndInverse, ours)

/** What is judged: solutions of equations with a matrix, from its factor. */
type Solve = typeof solveCholesky

const solves = lawForAll(
  'the solutions of several equations give back their right sides, and are those of each alone, bit for bit',
  { N: fc.integer({ min: 1, max: 9 }), M: fc.integer({ min: 1, max: 4 }), seed: fc.integer() },
  (solve: Solve, { N, M, seed }) => {
    const matrix = positive(N, seed)
    const factor = cholesky(matrix, N)
    const right = Float64Array.from(new Data(seed).floats('right', [N, M]))
    const X = solve(factor, right, N)
    for (let m = 0; m < M; m++) {
      const column = (of: Float64Array): Float64Array => of.filter((_, i) => i % M === m)
      expect(column(X)).toEqual(solve(factor, column(right)))
      for (let i = 0; i < N; i++) {
        let product = 0
        for (let k = 0; k < N; k++) product += matrix[i * N + k] * X[k * M + m]
        expect(Math.abs(product - right[i * M + m])).toBeLessThan(1e-9)
      }
    }
  },
)
stateLaw(solves, solveCholesky)

test('of equal correlations r the eigenvalues are 1 + (N - 1) r once and 1 - r', () => {
  for (const N of [1, 2, 5, 40])
    for (const r of [0, 0.3, 0.999]) {
      const matrix = Float64Array.from({ length: N * N }, (_, i) => (i % (N + 1) === 0 ? 1 : r))
      const { logDet, trace } = ours(matrix, N)
      const once = 1 + (N - 1) * r
      const others = N === 1 ? 1 : 1 - r
      const first = N === 1 ? 1 : once
      expect(logDet).toBeCloseTo(Math.log(first) + (N - 1) * Math.log(others), 4)
      expect(trace / (1 / first + (N - 1) / others)).toBeCloseTo(1, 9)
    }
})

test('a matrix that is not positive definite is refused', () => {
  expect(() => cholesky(Float64Array.of(1, 2, 2, 1), 2)).toThrow('matrix: expected positive definite')
  expect(() => cholesky(Float64Array.of(NaN), 1)).toThrow('matrix: expected positive definite')
})

killsEach('%s, of cholesky: killed', isDeterminantAndInverse, {
  'half the logarithm of the determinant': (matrix, N) => ({
    ...ours(matrix, N),
    logDet: ours(matrix, N).logDet / 2,
  }),
  'the inverse of the diagonal': (matrix, N) => ({
    ...ours(matrix, N),
    trace: Array.from({ length: N }, (_, i) => 1 / matrix[i * (N + 1)]).reduce((a, b) => a + b, 0),
  }),
})

killsEach('%s, of solveCholesky: killed', solves, {
  'columns as rows': (factor, B, N = B.length) => {
    const M = B.length / N
    const turned = B.map((_, i) => B[(i % N) * M + Math.floor(i / N)])
    return solveCholesky(factor, turned, N)
  },
  'the right sides': (_, B) => B.slice(),
})
