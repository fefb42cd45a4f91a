/**
 * Bugs planted in the operations of src/ops/rms_norm.ts.
 */
import * as rmsNormLaws from '../../src/verify/ops/rms_norm.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** A function of each row [D] of x. */
function rowByRow(x: Float32Array, D: number, change: (row: Float32Array) => Iterable<number>): Float32Array {
  const rows = Array.from({ length: D > 0 ? x.length / D : 0 }, (_, t) => x.subarray(t * D, (t + 1) * D))
  return Float32Array.from(rows.flatMap((row) => [...change(row)]))
}

const mean = (row: Float32Array): number => row.reduce((total, value) => total + value, 0) / row.length

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'rms_norm',
    'ignores epsilon',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.meanSquare],
    (rms_norm) => (y, x, weight, _, T, D) => rms_norm(y, x, weight, 0, T, D),
  ),

  mutant(
    'rms_norm',
    'subtracts the mean',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.meanSquare],
    (rms_norm) => (y, x, weight, epsilon, T, D) => {
      const centred = rowByRow(x, D, (row) => row.map((value) => value - mean(row)))
      rms_norm(y, centred, weight, epsilon, T, D)
    },
  ),

  mutant(
    'rms_norm',
    'adds epsilon after the root',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.scalesAway],
    () => (y, x, weight, epsilon, _, D) =>
      y.set(
        rowByRow(x, D, (row) => {
          const root = Math.sqrt(mean(row.map((value) => value * value))) + epsilon
          return row.map((value, d) => (value / root) * weight[d])
        }),
      ),
  ),

  mutant(
    'rms_norm',
    'scales by 1 + weight',
    [...agree('rms_norm'), rmsNormLaws.isClosedForm, rmsNormLaws.meanSquare],
    (rms_norm) => (y, x, weight, epsilon, T, D) => {
      const wrong = weight.map((w) => 1 + w)
      rms_norm(y, x, wrong, epsilon, T, D)
    },
  ),

  mutant(
    'rms_norm_backward',
    'takes the root mean square for a constant',
    [...agree('rms_norm_backward'), ...gradients('rms_norm'), rmsNormLaws.gradientIsOrthogonal],
    (backward) => (x_grad, weight_grad, y_grad, x, weight, epsilon, T, D) => {
      backward(x_grad, weight_grad, y_grad, x, weight, epsilon, T, D)
      for (let t = 0; t < T; t++) {
        const squares = mean(x.subarray(t * D, (t + 1) * D).map((value) => value * value))
        for (let d = 0; d < D; d++)
          x_grad[t * D + d] = (y_grad[t * D + d] * weight[d]) / Math.sqrt(squares + epsilon)
      }
    },
  ),
]
