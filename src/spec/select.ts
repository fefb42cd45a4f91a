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
import type { Units } from './model.ts'

export interface Budget {
  /** Share of the units that is skipped, in [0, 1]. */
  readonly sparsity: number
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
  const { scope, policy } = budget
  const mask = scores.map(({ length }, l) => new Float32Array(length).fill(l === 0 ? 1 : 0))
  const ranked = rank(scores, policy === 'released' ? 0 : 1)
  const groups =
    scope === 'per-layer' ? scores.map((_, l) => ranked.filter(({ layer }) => layer === l)) : [ranked]
  for (const group of groups) {
    const best = scores.flatMap((_, l) => group.filter(({ layer }) => layer === l).slice(0, floor))
    const others = group.filter((unit) => !best.includes(unit))
    const kept = countKept(group.length, budget)
    for (const { layer, unit } of [...best, ...others.slice(0, Math.max(0, kept - best.length))])
      mask[layer][unit] = 1
  }
  return mask
}

/** Every unit from a layer on, from the highest score to the lowest. NaN is below every number. */
function rank(scores: readonly Float32Array[], first: number) {
  const units = scores
    .flatMap((row, layer) => Array.from(row, (score, unit) => ({ layer, unit, score })))
    .filter(({ layer }) => layer >= first)
  // The sort is stable, so that equal scores stay in order.
  return units.sort((a, b) => {
    const missing = Number(Number.isNaN(a.score)) - Number(Number.isNaN(b.score))
    return missing || (a.score === b.score ? 0 : b.score - a.score)
  })
}

/** How many of N units stay. */
function countKept(N: number, { sparsity, policy }: Budget): number {
  // Rounded to millionths first: (1 − 0.3) · 45 is 31.5 and not 31.499999999999996.
  if (policy === 'exact') return Math.round(Math.round((1 - sparsity) * N * 1e6) / 1e6)
  return N - Math.floor((Math.floor(sparsity * 100 + 1e-9) * N) / 100)
}
