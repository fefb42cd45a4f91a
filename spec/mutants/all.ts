/**
 * Every planted bug of the ops, of all families.
 */
import { attentionMutants } from './attention.ts'
import { attentionI8Mutants } from './attention_i8.ts'
import { familyMutants } from './families.ts'
import { int4Mutants } from './int4.ts'
import { linearMutants } from './linear.ts'
import { llamaMutants } from './llama.ts'
import { lossMutants } from './losses.ts'
import type { Mutant } from './mutant.ts'
import { otherMutants } from './others.ts'
import { storedMutants } from './stored.ts'

/** All of them. */
export const mutants: readonly Mutant[] = [
  ...linearMutants,
  ...storedMutants,
  ...int4Mutants,
  ...attentionMutants,
  ...attentionI8Mutants,
  ...llamaMutants,
  ...lossMutants,
  ...otherMutants,
  ...familyMutants,
]
