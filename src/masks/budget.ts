/**
 * How many units a mask keeps.
 *
 * Layer 0 decides and therefore runs whole: it is left out of the ranking and of the budget. Of the N units that are
 * ranked, exactly round((1 - s) N) are kept: over all of them (global scope), or in each layer (per-layer scope).
 * A floor guarantees every ranked layer its best units; floors count towards the budget and only exceed it where the
 * budget is smaller than the floors together. Heads and neurons have budgets of their own.
 *
 * The released code ranks layer 0 too, prunes floor(int(percent) N / 100) units and then forces layer 0 dense, so that
 * it skips less than it says. `policy: 'released'` does that, for parity with it.
 */
import { UsageError } from '../tensor/errors.ts'

/** Whether units compete over the whole model or within their layer. */
export type Scope = 'global' | 'per-layer'

/** How much may stay, and what competes with what. */
export interface Budget {
  /** Share of the ranked heads that is skipped, in [0, 1]. */
  readonly headSparsity: number
  /** Share of the ranked neurons that is skipped, in [0, 1]. */
  readonly neuronSparsity: number
  readonly scope: Scope
  /** Heads every ranked layer keeps at least. */
  readonly headFloor: number
  /** Neurons every ranked layer keeps at least. */
  readonly neuronFloor: number
  readonly policy: 'exact' | 'released'
}

/**
 * A budget of the same sparsity for heads and neurons: global, one head per layer guaranteed, unless told otherwise.
 * @throws UsageError SPARSITY for a share outside [0, 1], FLOOR for a floor that is not a whole number
 */
export function makeBudget(sparsity: number, options: Partial<Budget> = {}): Budget {
  const released = options.policy === 'released'
  const budget: Budget = {
    headSparsity: sparsity,
    neuronSparsity: sparsity,
    scope: 'global',
    headFloor: released ? 0 : 1,
    neuronFloor: 0,
    policy: 'exact',
    ...options,
  }
  for (const share of [budget.headSparsity, budget.neuronSparsity])
    if (!(share >= 0 && share <= 1))
      throw new UsageError('SPARSITY', `sparsity: expected a share from 0 to 1, got ${share}`)
  for (const floor of [budget.headFloor, budget.neuronFloor])
    if (!Number.isInteger(floor) || floor < 0)
      throw new UsageError('FLOOR', `floor: expected a whole number of units per layer, got ${floor}`)
  return budget
}

/** How many of `ranked` units stay at this sparsity, floors left out. */
export function unitsKept(ranked: number, sparsity: number, policy: Budget['policy'] = 'exact'): number {
  if (policy === 'exact') return Math.round((1 - sparsity) * ranked)
  // The percentage is an integer there; the addend undoes 0.29 * 100 = 28.999999999999996.
  const percent = Math.floor(sparsity * 100 + 1e-9)
  return ranked - Math.floor((percent * ranked) / 100)
}

/** The first layer whose units are ranked. */
export function firstRanked(policy: Budget['policy']): number {
  return policy === 'released' ? 0 : 1
}
