/**
 * How the laws of masks, which stand in src/verify/masks, are stated here: as tests of the real `selectMask`.
 */
import { selectMask } from '../../src/masks/selection.ts'
import type { MaskLaw } from '../../src/verify/masks/cases.ts'
import { stateLaw } from '../harness/seed.ts'

export * from '../../src/verify/masks/cases.ts'

/** States laws of the real selectMask, one test each. */
export function stateMaskLaws(laws: Readonly<Record<string, MaskLaw>>): void {
  for (const law of Object.values(laws)) stateLaw(law, selectMask)
}
