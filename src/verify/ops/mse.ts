/**
 * mse against float64.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

export const isMeanOfSquares: BackendLaw = forAll(
  'mse: the mean of squared errors, as in float64; 0 and no gradient for a perfect prediction',
  { N: fc.integer({ min: 1, max: 300 }), data: anyData },
  (backend, { N, data }) => {
    const [prediction, target] = [data.floats('prediction', N), data.floats('target', N)]
    let expected = 0
    for (let n = 0; n < N; n++) expected += (prediction[n] - target[n]) ** 2 / N
    near('loss', call(backend, 'mse', { prediction, target, N }).loss, [expected], 40 * epsilon32 * expected)
    sameBits('perfect', call(backend, 'mse', { prediction, target: prediction, N }).loss, [0])
    const loss_grad = Float32Array.of(3)
    const given = { loss_grad, prediction, target: prediction, N }
    sameBits('gradient', call(backend, 'mse_backward', given).prediction_grad, new Float32Array(N))
  },
)
