/**
 * cross_entropy and its gradient against the closed form in float64.
 */
import fc from 'fast-check'
import { NOT_SCORED } from '../../ops/cross_entropy.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { logSumExp64, softmax64 } from '../float64.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const V = fc.integer({ min: 1, max: 200 })
const accuracy = 40 * epsilon32

export const isClosedForm: BackendLaw = forAll(
  'cross_entropy: log sum exp of the logits less the label, as in float64',
  { V, data: anyData },
  (backend, { V, data }) => {
    const logits = data.floats('logits', V).map((x) => x * 10)
    const label = data.whole('label', 0, V - 1)
    const { nll } = call(backend, 'cross_entropy', { logits, labels: Int32Array.of(label), T: 1, V })
    const expected = logSumExp64(logits) - logits[label]
    near('nll', nll, [expected], accuracy * (1 + expected))
  },
)

export const shifts: BackendLaw = forAll(
  'cross_entropy: a number added to all logits changes nothing, bit for bit, where adding it is exact',
  { V, shift: fc.integer({ min: -4000, max: 4000 }), data: anyData },
  (backend, { V, shift, data }) => {
    const logits = data.floats('logits', V, 'smooth').map((x) => x * 4)
    const labels = data.ids('labels', 1, V)
    const nll = (values: Float32Array): Float32Array =>
      call(backend, 'cross_entropy', { logits: values, labels, T: 1, V }).nll
    sameBits('nll', nll(logits.map((x) => x + shift)), nll(logits))
  },
)

export const gradientIsClosedForm: BackendLaw = forAll(
  'cross_entropy_backward: softmax less one at the label, times the gradient of the loss',
  { V, data: anyData },
  (backend, { V, data }) => {
    const logits = data.floats('logits', V)
    const [label] = data.ids('label', 1, V)
    const nll_grad = data.floats('nll_grad', 1)
    const given = { nll_grad, logits, labels: Int32Array.of(label), T: 1, V }
    const expected = softmax64(logits).map((p, v) => nll_grad[0] * (p - (v === label ? 1 : 0)))
    near('logits_grad', call(backend, 'cross_entropy_backward', given).logits_grad, expected, accuracy * 2)
  },
)

export const notScored: BackendLaw = forAll(
  'cross_entropy: a position labelled -100 costs nothing and gets no gradient, for any logits',
  { T: fc.integer({ min: 1, max: 9 }), V, data: anyData },
  (backend, { T, V, data }) => {
    const logits = data.floats('logits', [T, V], 'broken')
    const labels = new Int32Array(T).fill(NOT_SCORED)
    sameBits('nll', call(backend, 'cross_entropy', { logits, labels, T, V }).nll, new Float32Array(T))
    const given = { nll_grad: data.floats('nll_grad', T, 'broken'), logits, labels, T, V }
    const { logits_grad } = call(backend, 'cross_entropy_backward', given)
    sameBits('logits_grad', logits_grad, new Float32Array(T * V))
  },
)
