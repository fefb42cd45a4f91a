/**
 * mask_units at the two masks that matter, and between them: the derivative that plainact is.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits, sameNumbers } from '../compare.ts'
import { dot64, dotSize64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const T = fc.nat({ max: 9 })

export const maskOfOnes: BackendLaw = forAll(
  'mask_units: a mask of 1 changes nothing, and a mask of 0 zeroes its unit only',
  { T, U: fc.nat({ max: 12 }), K: fc.nat({ max: 20 }), data: anyData },
  (backend, { T, U, K, data }) => {
    const x = data.floats('x', [T, U, K], 'wild')
    const mask = new Float32Array(U).fill(1)
    sameBits('y', call(backend, 'mask_units', { x, mask, T, U, K }).y, x)
    const silent = new Set(data.someOf('silent', U))
    const expected = x.map((value, i) => (silent.has(Math.floor(i / K) % U) ? 0 : value))
    const zeroed = mask.map((_, u) => (silent.has(u) ? 0 : 1))
    sameNumbers('y', call(backend, 'mask_units', { x, mask: zeroed, T, U, K }).y, expected)
  },
)

export const derivativeByMask: BackendLaw = forAll(
  'mask_units: moving a mask moves the output by x times as much: d loss / d mask = the sum over the unit of x y_grad',
  { T, U: fc.integer({ min: 1, max: 12 }), K: fc.nat({ max: 20 }), data: anyData },
  (backend, { T, U, K, data }) => {
    const [x, mask, y_grad] = [
      data.floats('x', [T, U, K], 'smooth'),
      data.floats('mask', U),
      data.floats('y_grad', [T, U, K], 'smooth'),
    ]
    const u = data.whole('u', 0, U - 1)
    const loss = (shift: number): number => {
      const moved = mask.slice()
      moved[u] = 1 + shift
      return dot64(call(backend, 'mask_units', { x, mask: moved, T, U, K }).y, y_grad)
    }
    const mine = x.map((value, i) => (Math.floor(i / K) % U === u ? value : 0))
    // Linear in the mask, and 1 and 2 are exact: the difference is the derivative.
    near('derivative', [loss(1) - loss(0)], [dot64(mine, y_grad)], epsilon32 * (1 + dotSize64(x, y_grad)) * 4)
  },
)
