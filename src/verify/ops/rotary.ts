/**
 * rotary: a rotation of pairs, by which scores depend on distances alone.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { rotaryTable } from '../../ops/rotary.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { dot64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const T = fc.integer({ min: 1, max: 9 })
const H = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 70 })

const POSITIONS = 64

/** Table rows of these positions, [T, K]. */
function rowsAt(positions: readonly number[], K: number): Float32Array {
  const table = rotaryTable({ base: 10_000, scaling: null }, POSITIONS, K)
  return Float32Array.from(positions.flatMap((t) => [...table.subarray(t * K, (t + 1) * K)]))
}

/** Random positions of T tokens. */
const placesOf = (T: number, data: Data): number[] => [...data.ids('places', T, POSITIONS)]

interface Pair {
  /** Where its numbers stand in [T, H, K], and their angle in [T, K]. */
  readonly first: number
  readonly second: number
  readonly cos: number
  readonly sin: number
}

/** Every pair of every head. */
function pairsOf(T: number, H: number, K: number): Pair[] {
  const M = Math.floor(K / 2)
  return Array.from({ length: T * H * M }, (_, n) => {
    const [i, row] = [n % M, Math.floor(n / M)]
    const [first, cos] = [row * K + i, Math.floor(row / H) * K + i]
    return { first, second: first + M, cos, sin: cos + M }
  })
}

const rotate = (backend: Backend, x: Float32Array, table: Float32Array, H: number, K: number): Float32Array =>
  call(backend, 'rotary', { x, table, T: table.length / K, H, K }).y

export const isComplexProduct: BackendLaw = forAll(
  'rotary: x[i] + x[i + M] j times cos + sin j, in float64; a last number without a partner stays',
  { T, H, K, data: anyData },
  (backend, { T, H, K, data }) => {
    const [x, table] = [data.floats('x', [T, H, K]), data.floats('table', [T, K])]
    const y = rotate(backend, x, table, H, K)
    for (const { first, second, cos, sin } of pairsOf(T, H, K)) {
      const [a, b, c, s] = [x[first], x[second], table[cos], table[sin]]
      // Two products and a sum are rounded.
      near(`y[${first}]`, [y[first]], [a * c - b * s], epsilon32 * (Math.abs(a * c) + Math.abs(b * s)))
      near(`y[${second}]`, [y[second]], [b * c + a * s], epsilon32 * (Math.abs(b * c) + Math.abs(a * s)))
    }
    if (K % 2 === 1) {
      const last = (values: Float32Array): Float32Array => values.filter((_, i) => i % K === K - 1)
      sameBits('last', last(y), last(x))
    }
  },
)

export const keepsLength: BackendLaw = forAll(
  'rotary: each pair keeps its length',
  { T, H, K, data: anyData },
  (backend, { T, H, K, data }) => {
    const x = data.floats('x', [T, H, K])
    const y = rotate(backend, x, rowsAt(placesOf(T, data), K), H, K)
    for (const { first, second } of pairsOf(T, H, K)) {
      const length = x[first] ** 2 + x[second] ** 2
      // Each number is off by 3/2 epsilon32 (|a| + |b|): cosine, product and sum are rounded.
      near('length', [y[first] ** 2 + y[second] ** 2], [length], 9 * epsilon32 * length)
    }
  },
)

export const scoresByDistance: BackendLaw = forAll(
  'rotary: <rotate(q, p + d), rotate(k, p)> does not depend on p',
  { K, d: fc.nat({ max: 20 }), p: fc.nat({ max: POSITIONS - 21 }), data: anyData },
  (backend, { K, d, p, data }) => {
    const [q, k] = [data.floats('q', K), data.floats('k', K)]
    const score = (p: number): number =>
      dot64(rotate(backend, q, rowsAt([p + d], K), 1, K), rotate(backend, k, rowsAt([p], K), 1, K))
    // A product of two numbers is off by 3 epsilon32 of the sizes of their pairs; a pair has two, a score two positions.
    const size = (x: Float32Array, { first, second }: Pair): number =>
      Math.abs(x[first]) + Math.abs(x[second])
    const sizes = pairsOf(1, 1, K).reduce((total, pair) => total + size(q, pair) * size(k, pair), 0)
    near('score', [score(p)], [score(0)], 12 * epsilon32 * sizes)
  },
)

export const isUndone: BackendLaw = forAll(
  'rotary_backward: undoes rotary',
  { T, H, K, data: anyData },
  (backend, { T, H, K, data }) => {
    const x = data.floats('x', [T, H, K])
    const table = rowsAt(placesOf(T, data), K)
    const y_grad = rotate(backend, x, table, H, K)
    const { x_grad } = call(backend, 'rotary_backward', { y_grad, table, T, H, K })
    for (const { first, second } of pairsOf(T, H, K)) {
      // Off by 3/2 epsilon32 of the pair, twice, and what comes of it is turned: up to sqrt(2) of that.
      const error = 5 * epsilon32 * (Math.abs(x[first]) + Math.abs(x[second]))
      near('x_grad', [x_grad[first], x_grad[second]], [x[first], x[second]], error)
    }
    if (K % 2 === 1) sameBits('last', [x_grad[K - 1]], [x[K - 1]])
  },
)
