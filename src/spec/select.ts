/**
 * From scores to a mask (arXiv 2406.16635): the units with the highest scores stay. Heads and neurons have separate budgets.
 *
 *   kept = round((1 − s) N)             of the N units after layer 0, at sparsity s; halves round up
 *
 *   global      all layers compete: the paper's ShadowLLM
 *   per-layer   the units of each layer compete: N is H or F
 *   hybrid      global, and every layer keeps its best 1 head and min(256, ⌈F / 32⌉) neurons
 *
 * A global budget also keeps the best head of every layer. What a layer keeps in this way is paid for out of the budget.
 * Layer 0 is dense: it has run when the predictor is asked. Ties go to the lower layer, then to the lower index.
 *
 * The released code (lm_eval/models/opt.py) counts otherwise: it ranks layer 0 too, skips ⌊⌊100 s⌋ N / 100⌋ units of all
 * N, makes layer 0 dense after that, and guarantees a layer units in hybrid scope only. `policy: 'released'` does this.
 */
import { top_k } from '../ops/top_k.ts'
import type { Units } from './model.ts'

/** How many units stay, and which compete. */
export interface Budget {
  readonly sparsity: number // share of the units that is skipped, in [0, 1]
  readonly scope: 'global' | 'per-layer' | 'hybrid'
  readonly policy: 'exact' | 'released'
}

/** The mask that keeps the best units. */
export function selectMask(scores: Units, budget: Budget): Units {
  const { scope, policy } = budget
  const F = scores.neurons[0].length
  const bestHeads = policy === 'released' && scope !== 'hybrid' ? 0 : 1
  const bestNeurons = scope === 'hybrid' ? Math.min(256, Math.ceil(F / 32)) : 0
  return {
    heads: keepBest(scores.heads, budget, bestHeads),
    neurons: keepBest(scores.neurons, budget, bestNeurons),
  }
}

/** The mask [L] of [U] of one kind of unit. @param floor how many of its best units every ranked layer keeps */
function keepBest(scores: readonly Float32Array[], budget: Budget, floor: number): Float32Array[] {
  const mask = scores.map(({ length }) => new Float32Array(length))
  const ranked = [...scores.keys()].slice(budget.policy === 'released' ? 0 : 1)
  for (const layers of budget.scope === 'per-layer' ? ranked.map((l) => [l]) : [ranked]) {
    for (const l of layers) for (const unit of best(scores[l], floor)) mask[l][unit] = 1
    const units = layers.flatMap((l) => Array.from(scores[l], (score, unit) => ({ l, unit, score })))
    const others = units.filter(({ l, unit }) => mask[l][unit] === 0)
    const left = Math.max(0, countKept(units.length, budget) - floor * layers.length)
    const theirs = Float32Array.from(others, ({ score }) => score)
    for (const place of best(theirs, left)) mask[others[place].l][others[place].unit] = 1
  }
  mask[0].fill(1)
  return mask
}

/** The indices of the highest scores. NaN is below every number. */
function best(scores: Float32Array, count: number): Int32Array {
  const indices = new Int32Array(count)
  top_k(indices, scores, scores.length, count)
  return indices
}

/** How many of N units stay. */
function countKept(N: number, { sparsity, policy }: Budget): number {
  // Rounded to millionths first: (1 − 0.3) · 45 is 31.5 and not 31.499999999999996.
  if (policy === 'exact') return Math.round(Math.round((1 - sparsity) * N * 1e6) / 1e6)
  return N - Math.floor((Math.floor(sparsity * 100 + 1e-9) * N) / 100)
}
