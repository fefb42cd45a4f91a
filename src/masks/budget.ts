/**
 * How many units a mask keeps. Heads and neurons have budgets of their own.
 *
 * The first layers run before a planner decides and therefore run whole: `denseLayers` of them (1 + the planner's
 * placement) are left out of the ranking and of the budget. Of the N units that are ranked, exactly round((1 - s) N) are
 * kept, halves rounded up: over all of them (global scope), or in each layer (per-layer scope).
 *
 * A floor guarantees every ranked layer its best units. Floors are paid out of the budget and exceed it only where it is
 * smaller than the floors together. Global scope guarantees one head; hybrid scope is global scope with a floor under
 * the neurons too, which is the repair the released code makes: layers left with less get their best back, paid for by
 * the lowest of the others.
 *
 * The released code ranks the dense layers too, prunes floor(int(percent) N / 100) units and then forces those layers
 * dense, so that it skips less than it says. `policy: 'released'` does that, for parity with it.
 */
import { checkOptionNames, describeValue, isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'

/** Whether units compete over the whole model or within their layer; hybrid is global with floors under both kinds. */
export const scopes = ['global', 'per-layer', 'hybrid'] as const
export type Scope = (typeof scopes)[number]
const policies = ['exact', 'released'] as const

/** How much may stay, and what competes with what. */
export interface Budget {
  /** Share of the ranked heads that is skipped, in [0, 1]. */
  readonly headSparsity: number
  /** Share of the ranked neurons that is skipped, in [0, 1]. */
  readonly neuronSparsity: number
  readonly scope: Scope
  /** Heads every ranked layer keeps at least. */
  readonly headFloor: number
  /** Neurons every ranked layer keeps at least; null is `defaultNeuronFloor`, which depends on the model. */
  readonly neuronFloor: number | null
  /** How many layers, from the first, run whole. */
  readonly denseLayers: number
  readonly policy: (typeof policies)[number]
}

/**
 * A budget of the same sparsity for heads and neurons: global, one dense layer, one head per ranked layer guaranteed,
 * unless told otherwise. The released policy guarantees a head in hybrid scope only.
 * @throws UsageError SPARSITY for a share outside [0, 1]; FLOOR or DENSE_LAYERS for what is not a whole number; SCOPE,
 *   POLICY; OPTIONS, OPTION_NAME for options of no budget
 */
export function makeBudget(sparsity: number, options: Partial<Budget> = {}): Budget {
  checkOptionNames(options, fields)
  const { scope = 'global', policy = 'exact' } = options
  const budget: Budget = {
    headSparsity: sparsity,
    neuronSparsity: sparsity,
    headFloor: policy === 'released' && scope !== 'hybrid' ? 0 : 1,
    neuronFloor: scope === 'hybrid' ? null : 0,
    denseLayers: 1,
    ...options,
    scope,
    policy,
  }
  checkBudget(budget)
  return budget
}

const fields: readonly (keyof Budget)[] = [
  'headSparsity',
  'neuronSparsity',
  'scope',
  'headFloor',
  'neuronFloor',
  'denseLayers',
  'policy',
]

const isShare = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value <= 1

/** Refuses what is not a budget. @throws UsageError SPARSITY, SCOPE, POLICY, FLOOR, DENSE_LAYERS */
export function checkBudget(budget: Budget): void {
  if (!isObject(budget))
    throw new UsageError('SPARSITY', `budget: expected a budget of makeBudget, got ${describeValue(budget)}`)
  const { scope, policy } = budget
  if (!policies.includes(policy))
    throw new UsageError('POLICY', `policy: expected one of ${policies.join(', ')}, got ${String(policy)}`)
  if (!scopes.includes(scope))
    throw new UsageError('SCOPE', `scope: expected one of ${scopes.join(', ')}, got ${String(scope)}`)
  for (const share of [budget.headSparsity, budget.neuronSparsity])
    if (!isShare(share))
      throw new UsageError('SPARSITY', `sparsity: expected a share from 0 to 1, got ${describeValue(share)}`)
  for (const floor of [budget.headFloor, budget.neuronFloor ?? 0])
    if (!Number.isInteger(floor) || floor < 0)
      throw new UsageError(
        'FLOOR',
        `floor: expected a whole number of units per layer, got ${describeValue(floor)}`,
      )
  if (!Number.isInteger(budget.denseLayers) || budget.denseLayers < 0)
    throw new UsageError(
      'DENSE_LAYERS',
      `dense layers: expected a whole number of layers, got ${describeValue(budget.denseLayers)}`,
    )
}

/** How many of `ranked` units stay at this sparsity, floors left out. */
export function unitsKept(ranked: number, sparsity: number, policy: Budget['policy'] = 'exact'): number {
  // Rounded to millionths first, so that halves round up: (1 - 0.3) * 45 = 31.499999999999996 counts as 31.5.
  if (policy === 'exact') return Math.round(Math.round((1 - sparsity) * ranked * 1e6) / 1e6)
  // The percentage is an integer there; the addend undoes 0.29 * 100 = 28.999999999999996.
  const percent = Math.floor(sparsity * 100 + 1e-9)
  return ranked - Math.floor((percent * ranked) / 100)
}

/** The first layer whose units are ranked. */
export function firstRanked({ policy, denseLayers }: Budget): number {
  return policy === 'released' ? 0 : denseLayers
}

/**
 * The floor under the neurons of a layer in hybrid scope: a thirty-second of them, rounded up, at most 256. The released
 * code says 256, which is a thirty-second of OPT-1.3B's 8192.
 */
export function defaultNeuronFloor(neurons: number): number {
  return Math.min(256, Math.ceil(neurons / 32))
}
