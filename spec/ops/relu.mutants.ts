/**
 * Bugs planted in the operations of src/ops/relu.ts.
 */
import * as reluLaws from '../../src/verify/ops/relu.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'relu',
    'lets NaN through',
    agree('relu'),
    () => (y, x) => y.set(x.map((value) => (value <= 0 ? 0 : value))),
  ),

  mutant(
    'relu',
    'keeps the sign of a zero',
    [...agree('relu'), reluLaws.splitsInTwo],
    () => (y, x) => y.set(x.map((value) => (value < 0 ? 0 : value))),
  ),

  mutant(
    'relu_backward',
    'is open at the kink',
    [...agree('relu_backward'), reluLaws.gradientIsGate],
    () => (x_grad, y_grad, x) => x_grad.set(y_grad.map((g, n) => (x[n] >= 0 ? g : 0))),
  ),
]
