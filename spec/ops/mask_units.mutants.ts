/**
 * Bugs planted in the operations of src/ops/mask_units.ts.
 */
import * as maskLaws from '../../src/verify/ops/mask_units.ts'
import { agree, gradients, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'mask_units',
    'lets a number leak into the next',
    [...agree('mask_units'), maskLaws.maskOfOnes, ...gradients('mask_units')],
    (mask_units) => (y, x, mask, T, U, K) => {
      mask_units(y, x, mask, T, U, K)
      y.set(y.map((value, n) => value + (n > 0 ? x[n - 1] : 0)))
    },
  ),

  mutant(
    'mask_units',
    'takes the mask by channel',
    [...agree('mask_units'), maskLaws.maskOfOnes, maskLaws.derivativeByMask],
    () => (y, x, mask, _, U, K) => y.set(x.map((value, n) => value * (mask[(n % K) % U] ?? 1))),
  ),
]
