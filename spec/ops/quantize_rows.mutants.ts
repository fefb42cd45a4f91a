/**
 * Bugs planted in the operations of src/ops/quantize_rows.ts.
 */
import * as storedLaws from '../../src/verify/ops/stored_weights.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'quantize_rows',
    'divides by 128',
    [...agree('quantize_rows'), storedLaws.quantizes],
    (quantize) => (y, scales, x, O, I) => {
      quantize(y, scales, x, O, I)
      scales.set(scales.map((scale) => (scale * 127) / 128))
    },
  ),
]
