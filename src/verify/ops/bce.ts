/**
 * bce against float64, and where it is known without a computer.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const size = fc.integer({ min: 1, max: 300 })

/** -y log p - (1 - y) log(1 - p) in float64, by the textbook. */
function costOf(logit: number, target: number): number {
  const minusLog = (z: number): number => (z > 0 ? Math.log1p(Math.exp(-z)) : Math.log1p(Math.exp(z)) - z)
  return target * minusLog(logit) + (1 - target) * minusLog(-logit)
}

export const isWeightedMean: BackendLaw = forAll(
  'bce: the weighted mean of -y log p - (1 - y) log(1 - p), as in float64, for any log odds',
  { N: size, data: anyData },
  (backend, { N, data }) => {
    const logits = data.floats('logits', N).map((value) => value * 100)
    const target = data.numbers('target', N, (stream) => stream.pick([0, 1, 0.25]), 0)
    const negative_weight = data.oneOf('negative_weight', [1, 0.5, 0.125])
    let expected = 0
    target.forEach((y, n) => {
      expected += ((y * (1 - negative_weight) + negative_weight) * costOf(logits[n], y)) / N
    })
    const { loss } = call(backend, 'bce', { logits, target, negative_weight, N })
    // No log odds are further than 200; a term is rounded at that scale.
    near('loss', loss, [expected], 200 * 4 * epsilon32 + 40 * epsilon32 * expected)
  },
)

export const evenOdds: BackendLaw = forAll(
  'bce: log odds of 0 cost ln 2 for any label, with the gradient 1/2 - label',
  { N: size },
  (backend, { N }) => {
    const given = {
      logits: new Float32Array(N),
      target: new Float32Array(N).map((_, n) => n % 2),
      negative_weight: 1,
      N,
    }
    near('loss', call(backend, 'bce', given).loss, [Math.LN2], 40 * epsilon32)
    const { logits_grad } = call(backend, 'bce_backward', { ...given, loss_grad: Float32Array.of(N) })
    const expected = given.target.map((label) => 0.5 - label)
    sameBits('gradient', logits_grad, expected)
  },
)

export const negativesCountByWeight: BackendLaw = forAll(
  'bce: a target of 0 counts by negative_weight, a target of 1 fully',
  { N: size, data: anyData },
  (backend, { N, data }) => {
    const logits = data.floats('logits', N)
    const of = (label: number, negative_weight: number): number[] => {
      const given = { logits, target: new Float32Array(N).fill(label), negative_weight, N }
      const { logits_grad } = call(backend, 'bce_backward', { ...given, loss_grad: Float32Array.of(1) })
      return [call(backend, 'bce', given).loss[0], ...logits_grad]
    }
    sameBits('positive', of(1, 0.25), of(1, 1))
    const quarter = of(0, 1).map((value) => value / 4)
    sameBits('negative', of(0, 0.25), quarter)
  },
)
