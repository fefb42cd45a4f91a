/**
 * layer_norm against its definition in float64.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { dot64, moments64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const D = fc.integer({ min: 1, max: 200 })
/** OPT's. */
const epsilon = 1e-5
const accuracy = 40 * epsilon32

function layerNorm(
  backend: Backend,
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array,
  eps: number = epsilon,
): Float32Array {
  return call(backend, 'layer_norm', { x, weight, bias, epsilon: eps, T: 1, D: x.length }).y
}

export const standardises: BackendLaw = forAll(
  'layer_norm: without weight and bias, mean 0 and variance v / (v + epsilon)',
  { D, data: anyData },
  (backend, { D, data }) => {
    const x = data.floats('x', D, 'smooth')
    const y = moments64(layerNorm(backend, x, new Float32Array(D).fill(1), new Float32Array(D)))
    const { variance } = moments64(x)
    // The mean of x is rounded, and 1 / sqrt(v + epsilon) magnifies that.
    near('mean', [y.mean], [0], accuracy / Math.sqrt(variance + epsilon))
    near('variance', [y.variance], [variance / (variance + epsilon)], 4 * accuracy)
  },
)

export const isClosedForm: BackendLaw = forAll(
  'layer_norm: (x - mean) / sqrt(variance + epsilon) * weight + bias, as in float64',
  { D, eps: fc.constantFrom(1e-6, 1e-5, 1e-3, 0.5), data: anyData },
  (backend, { D, eps, data }) => {
    const [x, weight, bias] = [
      data.floats('x', D, 'smooth'),
      data.floats('weight', D),
      data.floats('bias', D),
    ]
    const { mean, variance } = moments64(x)
    const scale = 1 / Math.sqrt(variance + Math.fround(eps))
    const expected = Array.from(x, (value, d) => (value - mean) * scale * weight[d] + bias[d])
    const error = Array.from(x, (value, d) => {
      const normal = Math.abs(value - mean) * scale
      return accuracy * ((scale + normal) * Math.abs(weight[d]) + Math.abs(bias[d]))
    })
    near('y', layerNorm(backend, x, weight, bias, eps), expected, error)
  },
)

export const constantRow: BackendLaw = forAll(
  'layer_norm: a constant row becomes the bias',
  { D, data: anyData },
  (backend, { D, data }) => {
    const bias = data.floats('bias', D)
    // A power of two, so that the sum and the mean are exact.
    const x = new Float32Array(D).fill(2 ** data.whole('power', -10, 10))
    sameBits('y', layerNorm(backend, x, data.floats('weight', D), bias), bias)
  },
)

export const gradientIsOrthogonal: BackendLaw = forAll(
  'layer_norm_backward: x_grad sums to 0, and <x_grad, x - mean> is the term of epsilon',
  { D, data: anyData },
  (backend, { D, data }) => {
    const [x, weight, y_grad] = [
      data.floats('x', D, 'smooth'),
      data.floats('weight', D),
      data.floats('y_grad', D),
    ]
    const given = { x, weight, y_grad, epsilon, T: 1, D }
    const { x_grad } = call(backend, 'layer_norm_backward', given)
    const { mean, variance } = moments64(x)
    const scale = 1 / Math.sqrt(variance + epsilon)
    const g = y_grad.map((value, d) => value * weight[d])
    const error = accuracy * scale * (1 + scale) * 4 * D
    near('sum', [x_grad.reduce((total, value) => total + value, 0)], [0], error)
    // <x_grad, x - mean> = scale <g, x - mean> (1 - variance / (variance + epsilon))
    const centred = Array.from(x, (value) => value - mean)
    near('product', [dot64(x_grad, centred)], [scale * dot64(g, centred) * epsilon * scale * scale], error)
  },
)
