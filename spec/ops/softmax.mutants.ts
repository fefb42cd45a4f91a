/**
 * Bugs planted in the operations of src/ops/softmax.ts.
 */
import { exp as exp32 } from '../../src/ops/float32.ts'
import * as softmaxLaws from '../../src/verify/ops/softmax.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'softmax',
    'does not shift by the largest',
    [...agree('softmax'), softmaxLaws.shifts],
    () => (y, x, T, V) => {
      for (let t = 0; t < T; t++) {
        const row = x.subarray(t * V, (t + 1) * V).map(exp32)
        const total = row.reduce((sum, e) => fround(sum + e), 0)
        for (let v = 0; v < V; v++) y[t * V + v] = row[v] / total
      }
    },
  ),

  mutant(
    'softmax',
    'divides by a sum that lacks the last term',
    [softmaxLaws.sumsToOne, softmaxLaws.isExact],
    (softmax) => (y, x, T, V) => {
      softmax(y, x, T, V)
      for (let t = 0; t < T; t++) {
        const row = y.subarray(t * V, (t + 1) * V)
        row.set(row.map((p) => p / (1 - row[V - 1])))
      }
    },
  ),

  mutant(
    'softmax_backward',
    'forgets the mean',
    [...gradients('softmax'), softmaxLaws.gradientSumsToZero],
    () => (x_grad, y_grad, y) => {
      x_grad.set(y.map((p, n) => p * y_grad[n]))
    },
  ),
]
