/**
 * Mutants that no test can find, each with the reason why the program does the same with it. They are reported, and not
 * counted among those that could be found.
 */
import type { Mutant } from './derive.ts'

/** A mutant that changes nothing anybody could observe. */
export interface Equivalent extends Pick<Mutant, 'file' | 'context' | 'before' | 'after'> {
  readonly why: string
}

/** All that were argued. */
export const equivalents: readonly Equivalent[] = []

/** Why a mutant is equivalent; null unless that was argued. */
export function whyEquivalent(mutant: Mutant): string | null {
  const found = equivalents.find(
    ({ file, context, before, after }) =>
      file === mutant.file &&
      context === mutant.context &&
      before === mutant.before &&
      after === mutant.after,
  )
  return found?.why ?? null
}
