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
/** Numbers of a head that are rotated, and those after them. */
const R = fc.integer({ min: 1, max: 70 })
const rest = fc.oneof(fc.constant(0), fc.nat({ max: 20 }))

const POSITIONS = 64

/** Table rows of these positions, [T, R]. */
function rowsAt(positions: readonly number[], R: number): Float32Array {
  const table = rotaryTable({ base: 10_000, scaling: null }, POSITIONS, R)
  return Float32Array.from(positions.flatMap((t) => [...table.subarray(t * R, (t + 1) * R)]))
}

/** Random positions of T tokens. */
const placesOf = (T: number, data: Data): number[] => [...data.ids('places', T, POSITIONS)]

interface Pair {
  /** Where its numbers stand in [T, H, K], and their angle in [T, R]. */
  readonly first: number
  readonly second: number
  readonly cos: number
  readonly sin: number
}

/** Every pair of every head. */
function pairsOf(T: number, H: number, R: number, K = R): Pair[] {
  const M = Math.floor(R / 2)
  return Array.from({ length: T * H * M }, (_, n) => {
    const [i, row] = [n % M, Math.floor(n / M)]
    const [first, cos] = [row * K + i, Math.floor(row / H) * R + i]
    return { first, second: first + M, cos, sin: cos + M }
  })
}

const rotate = (
  backend: Backend,
  x: Float32Array,
  table: Float32Array,
  H: number,
  R: number,
  K = R,
): Float32Array => call(backend, 'rotary', { x, table, T: table.length / R, H, R, K }).y

/** The numbers of heads that have no partner. */
const alone = (values: Float32Array, R: number, K: number): Float32Array =>
  values.filter((_, i) => i % K >= 2 * Math.floor(R / 2))

export const isComplexProduct: BackendLaw = forAll(
  'rotary: x[i] + x[i + M] j times cos + sin j, in float64; numbers without a partner stay',
  { T, H, R, rest, data: anyData },
  (backend, { T, H, R, rest, data }) => {
    const K = R + rest
    const [x, table] = [data.floats('x', [T, H, K]), data.floats('table', [T, R])]
    const y = rotate(backend, x, table, H, R, K)
    for (const { first, second, cos, sin } of pairsOf(T, H, R, K)) {
      const [a, b, c, s] = [x[first], x[second], table[cos], table[sin]]
      // Two products and a sum are rounded.
      near(`y[${first}]`, [y[first]], [a * c - b * s], epsilon32 * (Math.abs(a * c) + Math.abs(b * s)))
      near(`y[${second}]`, [y[second]], [b * c + a * s], epsilon32 * (Math.abs(b * c) + Math.abs(a * s)))
    }
    sameBits('alone', alone(y, R, K), alone(x, R, K))
  },
)

export const keepsLength: BackendLaw = forAll(
  'rotary: each pair keeps its length',
  { T, H, R, data: anyData },
  (backend, { T, H, R, data }) => {
    const x = data.floats('x', [T, H, R])
    const y = rotate(backend, x, rowsAt(placesOf(T, data), R), H, R)
    for (const { first, second } of pairsOf(T, H, R)) {
      const length = x[first] ** 2 + x[second] ** 2
      // Each number is off by 3/2 epsilon32 (|a| + |b|): cosine, product and sum are rounded.
      near('length', [y[first] ** 2 + y[second] ** 2], [length], 9 * epsilon32 * length)
    }
  },
)

export const scoresByDistance: BackendLaw = forAll(
  'rotary: <rotate(q, p + d), rotate(k, p)> does not depend on p',
  { R, d: fc.nat({ max: 20 }), p: fc.nat({ max: POSITIONS - 21 }), data: anyData },
  (backend, { R, d, p, data }) => {
    const [q, k] = [data.floats('q', R), data.floats('k', R)]
    const score = (p: number): number =>
      dot64(rotate(backend, q, rowsAt([p + d], R), 1, R), rotate(backend, k, rowsAt([p], R), 1, R))
    // A product of two numbers is off by 3 epsilon32 of the sizes of their pairs; a pair has two, a score two positions.
    const size = (x: Float32Array, { first, second }: Pair): number =>
      Math.abs(x[first]) + Math.abs(x[second])
    const sizes = pairsOf(1, 1, R).reduce((total, pair) => total + size(q, pair) * size(k, pair), 0)
    near('score', [score(p)], [score(0)], 12 * epsilon32 * sizes)
  },
)

export const isUndone: BackendLaw = forAll(
  'rotary_backward: undoes rotary',
  { T, H, R, rest, data: anyData },
  (backend, { T, H, R, rest, data }) => {
    const K = R + rest
    const x = data.floats('x', [T, H, K])
    const table = rowsAt(placesOf(T, data), R)
    const y_grad = rotate(backend, x, table, H, R, K)
    const { x_grad } = call(backend, 'rotary_backward', { y_grad, table, T, H, R, K })
    for (const { first, second } of pairsOf(T, H, R, K)) {
      // Off by 3/2 epsilon32 of the pair, twice, and what comes of it is turned: up to sqrt(2) of that.
      const error = 5 * epsilon32 * (Math.abs(x[first]) + Math.abs(x[second]))
      near('x_grad', [x_grad[first], x_grad[second]], [x[first], x[second]], error)
    }
    sameBits('alone', alone(x_grad, R, K), alone(x, R, K))
  },
)
