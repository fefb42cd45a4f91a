/**
 * Bugs planted in the operations of src/ops/soft_cap.ts.
 */
import * as softCapLaws from '../../src/verify/ops/soft_cap.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'soft_cap',
    'clips',
    [...agree('soft_cap'), softCapLaws.isClosedForm],
    () => (y, x, cap) => y.set(x.map((value) => (cap > 0 ? Math.max(-cap, Math.min(cap, value)) : value))),
  ),

  mutant(
    'soft_cap',
    'forgets the cap before tanh',
    [...agree('soft_cap'), ...gradients('soft_cap'), softCapLaws.isClosedForm],
    () => (y, x, cap) => y.set(x.map((value) => (cap > 0 ? cap * Math.tanh(value) : value))),
  ),

  mutant(
    'soft_cap',
    'loses the sign',
    [...agree('soft_cap'), softCapLaws.isOdd],
    (soft_cap) => (y, x, cap, N) => soft_cap(y, x.map(Math.abs), cap, N),
  ),

  mutant(
    'soft_cap',
    'gives nothing without a cap',
    [...agree('soft_cap'), softCapLaws.noCap],
    (soft_cap) => (y, x, cap, N) => (cap > 0 ? soft_cap(y, x, cap, N) : y.fill(0)),
  ),

  mutant(
    'soft_cap_backward',
    'passes the gradient as it is',
    [...agree('soft_cap_backward'), ...gradients('soft_cap'), softCapLaws.gradientIsClosedForm],
    () => (x_grad, y_grad) => x_grad.set(y_grad),
  ),

  mutant(
    'soft_cap_backward',
    'takes the square for what was capped',
    [...agree('soft_cap_backward'), ...gradients('soft_cap'), softCapLaws.gradientIsClosedForm],
    (backward) => (x_grad, y_grad, x, cap, N) => {
      const capped = x.map((value) => (cap > 0 ? cap * Math.tanh(value / cap) : value))
      backward(x_grad, y_grad, capped, cap, N)
    },
  ),
]
