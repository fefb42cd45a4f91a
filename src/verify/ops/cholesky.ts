/**
 * cholesky and solve_cholesky: the factor multiplies to the matrix, the solution to the right side, and a unit that says nothing has
 * no part in either.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

/** Past a block of rows of the kernels. */
const N = fc.integer({ min: 1, max: 80 })
const M = fc.integer({ min: 1, max: 40 })

/** Sums of products of activations [2 N, N], with a tenth of their mean square on the diagonal. */
function momentsOf(data: Data, N: number): Float32Array {
  const a = data.floats('activations', [2 * N, N], 'smooth')
  const moments = new Float32Array(N * N)
  for (let t = 0; t < 2 * N; t++)
    for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) moments[i * N + j] += a[t * N + i] * a[t * N + j]
  let square = 0
  for (let n = 0; n < N; n++) square += moments[n * N + n] / N
  for (let n = 0; n < N; n++) moments[n * N + n] += 0.1 * square + 1e-3
  return moments
}

function factorOf(backend: Backend, a: Float32Array, N: number): Float32Array {
  return call(backend, 'cholesky', { a, U: N }).factor
}

/** y = U x, or Uᵀ x, in float64; with sizes in place of numbers if asked. */
function product(
  factor: Float32Array,
  x: ArrayLike<number>,
  [N, M]: readonly [number, number],
  { turned = false, sizes = false } = {},
): Float64Array {
  const y = new Float64Array(N * M)
  const [left, right] = [factor, x].map((all) => {
    const copy = new Float64Array(all)
    return sizes ? copy.map(Math.abs) : copy
  })
  for (let i = 0; i < N; i++)
    for (let k = 0; k < N; k++) {
      const u = turned ? left[k * N + i] : left[i * N + k]
      for (let m = 0; m < M; m++) y[i * M + m] += u * right[k * M + m]
    }
  return y
}

export const multipliesToMatrix: BackendLaw = forAll(
  'cholesky: the factor is an upper triangle whose square is the matrix, within what its sums round',
  { N, data: anyData },
  (backend, { N, data }) => {
    const a = momentsOf(data, N)
    const factor = factorOf(backend, a, N)
    const below = factor.filter((_, n) => n % N < Math.floor(n / N))
    sameBits('below', below, new Float32Array(below.length))
    const square = product(factor, factor, [N, N], { turned: true })
    const sizes = product(factor, factor, [N, N], { turned: true, sizes: true })
    near(
      'square',
      square,
      a,
      sizes.map((size) => (N + 2) * epsilon32 * size),
    )
  },
)

export const solves: BackendLaw = forAll(
  'solve_cholesky: the solution multiplies to the right side, within what its sums round',
  { N, M, data: anyData },
  (backend, { N, M, data }) => {
    const factor = factorOf(backend, momentsOf(data, N), N)
    const b = data.floats('b', [N, M], 'smooth')
    const { x } = call(backend, 'solve_cholesky', { b, factor, U: N, D: M })
    const both = (sizes: boolean): Float64Array =>
      product(factor, product(factor, x, [N, M], { sizes }), [N, M], { turned: true, sizes })
    near(
      'product',
      both(false),
      b,
      both(true).map((size) => 3 * (N + 2) * epsilon32 * size),
    )
  },
)

export const deadHaveNoPart: BackendLaw = forAll(
  'cholesky and solve_cholesky: a unit whose row and column are 0 gets 0, and the others the solution without it',
  { N: fc.integer({ min: 2, max: 70 }), M, data: anyData },
  (backend, { N, M, data }) => {
    const dead = data.whole('dead', 0, N - 1)
    const own = momentsOf(data, N - 1)
    const b = data.floats('b', [N, M], 'smooth')
    const alive = (n: number): number => (n < dead ? n : n - 1)
    const a = new Float32Array(N * N).map((_, n) => {
      const [i, j] = [Math.floor(n / N), n % N]
      return i === dead || j === dead ? 0 : own[alive(i) * (N - 1) + alive(j)]
    })
    const solve = (matrix: Float32Array, right: Float32Array, size: number): Float32Array =>
      call(backend, 'solve_cholesky', { b: right, factor: factorOf(backend, matrix, size), U: size, D: M }).x
    const x = solve(a, b, N)
    sameBits('dead', x.subarray(dead * M, (dead + 1) * M), new Float32Array(M))
    const others = <Numbers extends Float32Array>(rows: Numbers): Float32Array =>
      rows.filter((_, n) => Math.floor(n / M) !== dead)
    near('others', others(x), solve(own, others(b), N - 1), 0)
  },
)
