/**
 * Every criterion by name.
 */
import { UsageError } from '../tensor/errors.ts'
import type { Criterion, DatasetCriterion } from './criterion.ts'
import { plainact, plainactSigned } from './plainact.ts'

export type {
  Criterion,
  CriterionCost,
  CriterionInput,
  DatasetCriterion,
  DatasetScores,
} from './criterion.ts'

/** In the order they are listed to a user. */
export const criteria: readonly Criterion[] = [plainact, plainactSigned]

/** The criterion of a name. @throws UsageError CRITERION_NAME */
export function criterionByName(name: string): Criterion {
  const found = criteria.find((criterion) => criterion.name === name)
  if (found) return found
  const names = criteria.map((criterion) => criterion.name).join(', ')
  throw new UsageError('CRITERION_NAME', `criterion: expected one of ${names}, got ${name}`)
}

/** Those that score a data set as a whole, in the order they are listed to a user. */
export const datasetCriteria: readonly DatasetCriterion[] = []
