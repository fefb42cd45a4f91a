/**
 * The steps of the method that take no model: budgets, and scores that are drawn.
 */
import { unitKinds } from '../../masks/mask.ts'
import type { Units } from '../../spec/plain.ts'
import type { Budget } from '../../spec/select.ts'
import { Random } from '../../tensor/random.ts'
import { recordOf } from '../../tensor/records.ts'
import type { Settings } from './settings.ts'

/** The budget of settings. */
export function budgetOf({ sparsity, scope }: Settings): Budget {
  return { sparsity, scope, policy: 'exact' }
}

/** The same numbers for every prompt, drawn from a fixed seed. */
export function randomScores(like: Units): Units {
  const random = new Random(1)
  return recordOf(unitKinds, (kind) => like[kind].map((row) => row.map(() => random.uniform())))
}
