/**
 * Bugs planted in the operations of src/ops/adamw_step.ts.
 */
import * as adamwLaws from '../../src/verify/ops/adamw_step.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'adamw_step',
    'decays the gradient instead of the weight',
    [...agree('adamw_step'), adamwLaws.decayAlone, adamwLaws.followsFloat64],
    (step) => (w, m, v, g, rate, b1, b2, epsilon, decay, c1, c2, N) => {
      const wrong = g.map((value, n) => value + decay * w[n])
      step(w, m, v, wrong, rate, b1, b2, epsilon, 0, c1, c2, N)
    },
  ),

  mutant(
    'adamw_step',
    'does not correct its young moments',
    [...agree('adamw_step'), adamwLaws.firstStep, adamwLaws.followsFloat64],
    (step) => (w, m, v, g, rate, b1, b2, epsilon, decay, _c1, _c2, N) =>
      step(w, m, v, g, rate, b1, b2, epsilon, decay, 1, 1, N),
  ),
]
