/**
 * Bugs planted in the operations of src/ops/min_max.ts.
 */
import * as minMaxLaws from '../../src/verify/ops/min_max.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'min_max',
    'divides a constant row by nothing',
    [...agree('min_max'), minMaxLaws.spansZeroToOne],
    () => (y, x, T, D) => {
      for (let t = 0; t < T; t++) {
        const row = x.subarray(t * D, (t + 1) * D)
        const [least, most] = [Math.min(...row), Math.max(...row)]
        y.set(
          row.map((value) => fround(value - least) / fround(most - least)),
          t * D,
        )
      }
    },
  ),
]
