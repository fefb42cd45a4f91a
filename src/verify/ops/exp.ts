/**
 * exp and log against Math.exp and Math.log in float64, over every exponent of float32.
 *
 * Tests src/ops/exp.ts and src/ops/float32.ts.
 */
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { always, type BackendLaw } from './law.ts'

const { fround } = Math

/** Between two float32 numbers looked at; a prime, so that the low bits vary. About a million numbers. */
const stride = 4093
/** What float32.ts promises, in units in the last place. */
const mostUnits = 2

/** Float32 numbers from all bit patterns, both signs, every exponent, infinities and NaN among them. */
function sweep(): Float32Array {
  const length = Math.floor(2 ** 32 / stride)
  return new Float32Array(new Uint32Array(length).map((_, i) => i * stride).buffer)
}

const word = new Int32Array(1)
const real = new Float32Array(word.buffer)

/** Float32 numbers in order, as whole numbers: neighbours differ by 1. */
function order(x: number): number {
  real[0] = x
  return word[0] < 0 ? -(word[0] & 0x7fffffff) : word[0]
}

function withinUnits(
  backend: Backend,
  name: 'exp' | 'log',
  exact: (x: number) => number,
  x: Float32Array,
): void {
  const { y } = call(backend, name, { x, N: x.length })
  for (let i = 0; i < x.length; i++) {
    const expected = fround(exact(x[i]))
    const isNear =
      expected !== expected ? y[i] !== y[i] : Math.abs(order(y[i]) - order(expected)) <= mostUnits
    if (!isNear)
      throw new Error(`${name}(${x[i]}): expected ${expected} within ${mostUnits} units, got ${y[i]}`)
  }
}

/** x and its nearest neighbours. */
function around(...centres: number[]): Float32Array {
  return Float32Array.from(
    centres.flatMap((centre) => {
      word[0] = 0
      real[0] = centre
      const bits = word[0]
      return Array.from({ length: 65 }, (_, i) => {
        word[0] = bits + i - 32
        return real[0]
      })
    }),
  )
}

export const expIsNear: BackendLaw = always(
  'exp: within 2 units in the last place, everywhere',
  (backend) => {
    withinUnits(backend, 'exp', Math.exp, sweep())
    // Where results become 0, subnormal, and infinite, and where the reduction by ln 2 changes its multiple.
    withinUnits(
      backend,
      'exp',
      Math.exp,
      around(-104, -103.27893, -87.33655, 88.72284, 89, 0.34657359, 1e-30),
    )
  },
)

export const logIsNear: BackendLaw = always(
  'log: within 2 units in the last place, everywhere',
  (backend) => {
    withinUnits(backend, 'log', Math.log, sweep())
    withinUnits(backend, 'log', Math.log, around(1, 0.70710678, 1.41421356, 1.17549435e-38, 3.4e38))
  },
)

export const specials: BackendLaw = always('exp and log of 0, 1, infinities and NaN are exact', (backend) => {
  const isExact = (name: 'exp' | 'log', x: readonly number[], expected: readonly number[]): void =>
    sameBits(name, call(backend, name, { x: Float32Array.from(x), N: x.length }).y, expected)
  isExact('exp', [0, -0, Infinity, -Infinity, NaN, 1e30, -1e30], [1, 1, Infinity, 0, NaN, Infinity, 0])
  isExact('log', [1, 0, -0, Infinity], [0, -Infinity, -Infinity, Infinity])
  isExact('log', [NaN, -1, -Infinity], [NaN, NaN, NaN])
})
