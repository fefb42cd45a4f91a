/**
 * softmax and log_sum_exp against float64, and the symmetries that hold exactly.
 *
 * Tests src/ops/softmax.ts and src/ops/log_sum_exp.ts.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, same, sameBits } from '../compare.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { logSumExp64, softmax64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

/** Few enough terms that 40 epsilon covers what their striped sum rounds (32 additions at most). */
const V = fc.integer({ min: 1, max: 200 })
const accuracy = 40 * epsilon32

function softmax(backend: Backend, x: Float32Array): Float32Array {
  return call(backend, 'softmax', { x, T: 1, V: x.length }).y
}

function logSumExp(backend: Backend, x: Float32Array): number {
  return call(backend, 'log_sum_exp', { x, T: 1, V: x.length }).y[0]
}

/** Logits that differ by up to 80. */
function logits(data: Data, V: number): Float32Array {
  return data.floats('x', V, 'smooth').map((x) => x * 23)
}

export const sumsToOne: BackendLaw = forAll(
  'softmax: each row sums to 1',
  { V, data: anyData },
  (backend, { V, data }) => {
    const y = softmax(backend, logits(data, V))
    near('sum', [y.reduce((total, p) => total + p, 0)], [1], accuracy)
  },
)

export const isExact: BackendLaw = forAll(
  'softmax: each number is that of float64',
  { V, data: anyData },
  (backend, { V, data }) => {
    const x = logits(data, V)
    // exp is 2 units off at most, x - max rounds by up to half a unit of 80.
    const expected = softmax64(x)
    const error = expected.map((p) => p * (accuracy + 80 * epsilon32) + 1e-44)
    near('y', softmax(backend, x), expected, error)
  },
)

export const shifts: BackendLaw = forAll(
  'softmax: a number added to a whole row changes nothing, bit for bit, where adding it is exact',
  { V, shift: fc.integer({ min: -64, max: 64 }), data: anyData },
  (backend, { V, shift, data }) => {
    const x = data.floats('x', V, 'smooth')
    const shifted = x.map((value) => value + shift)
    sameBits('y', softmax(backend, shifted), softmax(backend, x))
  },
)

export const gradientSumsToZero: BackendLaw = forAll(
  'softmax_backward: each row sums to 0, because the outputs sum to a constant',
  { V, data: anyData },
  (backend, { V, data }) => {
    const y = softmax(backend, data.floats('logits', V))
    const grad = call(backend, 'softmax_backward', { y, y_grad: data.floats('y_grad', V), T: 1, V }).x_grad
    near('sum', [grad.reduce((total, g) => total + g, 0)], [0], 4 * accuracy)
  },
)

export const sumIsExact: BackendLaw = forAll(
  'log_sum_exp: each number is that of float64; of one number it is that number, bit for bit',
  { V, data: anyData },
  (backend, { V, data }) => {
    const x = logits(data, V)
    near('y', [logSumExp(backend, x)], [logSumExp64(x)], accuracy * 5)
    same('one', logSumExp(backend, x.subarray(0, 1)), x[0])
  },
)
