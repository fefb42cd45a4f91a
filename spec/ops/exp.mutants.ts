/**
 * Bugs planted in the operations of src/ops/exp.ts.
 */
import * as expLaws from '../../src/verify/ops/exp.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant('exp', "is the engine's own", agree('exp'), () => (y, x) => y.set(x.map(Math.exp))),

  mutant(
    'exp',
    'flushes subnormal results to zero',
    [...agree('exp'), expLaws.expIsNear],
    (exp) => (y, x, N) => {
      exp(y, x, N)
      for (let n = 0; n < N; n++) if (y[n] < 2 ** -126) y[n] = 0
    },
  ),

  mutant(
    'log',
    'takes a negative number for 0',
    [expLaws.specials, expLaws.logIsNear],
    (log) => (y, x, N) =>
      log(
        y,
        x.map((value) => (value < 0 ? 0 : value)),
        N,
      ),
  ),

  mutant(
    'log',
    'forgets that subnormals were scaled',
    [...agree('log'), expLaws.logIsNear],
    (log) => (y, x, N) =>
      log(
        y,
        x.map((value) => (value < 2 ** -126 ? value * 2 ** 23 : value)),
        N,
      ),
  ),
]
