/**
 * rms_norm against its definition in float64, and what a change of scale does.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { dot64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const D = fc.integer({ min: 1, max: 200 })
const epsilons = fc.constantFrom(1e-6, 1e-5, 1e-3, 0.5)
/** Of an output: a square is added at most 31 times at these widths, which the root halves; 5 roundings follow. */
const accuracy = 11 * epsilon32

function rmsNorm(backend: Backend, x: Float32Array, weight: Float32Array, epsilon: number): Float32Array {
  return call(backend, 'rms_norm', { x, weight, epsilon, T: 1, D: x.length }).y
}

/** 1 / sqrt(mean(x^2) + epsilon) */
function scale64(x: Float32Array, epsilon: number): number {
  return 1 / Math.sqrt(dot64(x, x) / x.length + Math.fround(epsilon))
}

export const isClosedForm: BackendLaw = forAll(
  'rms_norm: x / sqrt(mean(x^2) + epsilon) * weight, as in float64',
  { D, epsilon: epsilons, data: anyData },
  (backend, { D, epsilon, data }) => {
    const [x, weight] = [data.floats('x', D, 'smooth'), data.floats('weight', D)]
    const scale = scale64(x, epsilon)
    const expected = Array.from(x, (value, d) => value * scale * weight[d])
    const error = expected.map((value) => accuracy * Math.abs(value))
    near('y', rmsNorm(backend, x, weight, epsilon), expected, error)
  },
)

export const meanSquare: BackendLaw = forAll(
  'rms_norm: without weight, the mean square m becomes m / (m + epsilon)',
  { D, epsilon: epsilons, data: anyData },
  (backend, { D, epsilon, data }) => {
    const x = data.floats('x', D, 'smooth')
    const y = rmsNorm(backend, x, new Float32Array(D).fill(1), epsilon)
    const m = dot64(x, x) / D
    near('mean square', [dot64(y, y) / D], [m / (m + Math.fround(epsilon))], 2 * accuracy)
  },
)

export const scalesAway: BackendLaw = forAll(
  'rms_norm: of 2^n x with 4^n epsilon = of x with epsilon, bit for bit',
  { D, n: fc.integer({ min: -20, max: 20 }), epsilon: epsilons, data: anyData },
  (backend, { D, n, epsilon, data }) => {
    const [x, weight] = [data.floats('x', D, 'smooth'), data.floats('weight', D)]
    const scaled = x.map((value) => value * 2 ** n)
    const y = rmsNorm(backend, scaled, weight, Math.fround(epsilon) * 4 ** n)
    sameBits('y', y, rmsNorm(backend, x, weight, Math.fround(epsilon)))
  },
)

export const gradientIsOrthogonal: BackendLaw = forAll(
  'rms_norm_backward: <x_grad, x> is the term of epsilon',
  { D, epsilon: epsilons, data: anyData },
  (backend, { D, epsilon, data }) => {
    const [x, weight, y_grad] = [
      data.floats('x', D, 'smooth'),
      data.floats('weight', D),
      data.floats('y_grad', D),
    ]
    const { x_grad } = call(backend, 'rms_norm_backward', { x, weight, y_grad, epsilon, T: 1, D })
    const scale = scale64(x, epsilon)
    const g = y_grad.map((value, d) => value * weight[d])
    const size = (value: number): number => Math.abs(value)
    const [xSizes, gSizes] = [x.map(size), g.map(size)]
    // |g| + |n| mean|g n| times scale |x|, summed; no factor of it is rounded more than 100 times in all.
    const sizes = scale * dot64(gSizes, xSizes) * (1 + (scale * scale * dot64(xSizes, xSizes)) / D)
    // <x_grad, x> = scale <g, x> (1 - m / (m + epsilon))
    const expected = scale * dot64(g, x) * Math.fround(epsilon) * scale * scale
    near('product', [dot64(x_grad, x)], [expected], 50 * epsilon32 * sizes)
  },
)
