/**
 * Copies of `try_law.ts` with a bug in the specification below it, by the address of the bug.
 *
 * The build writes the content of this module (`scripts/spec_page/plants.ts`); without it there are none.
 */
import type * as tryLaw from './try_law.ts'

export const plants: Readonly<Record<string, () => Promise<typeof tryLaw>>> = {}
