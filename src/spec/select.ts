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
 * The released code (abdelfattah-lab/shadow_llm at bdc5ad5, lm_eval/models/opt.py:316) counts otherwise:
 *
 *   skipped = ⌊⌊100 s⌋ N / 100⌋         of the N units of all layers; ties in any order
 *
 * It makes layer 0 dense after that, so that per-layer scope skips s (1 − 1/L) of the units. It guarantees a layer units in
 * hybrid scope only: 1 head and 256 neurons. `policy: 'released'` does this, with the ties and the 256 of above.
 */
import { top_k } from '../ops/top_k.ts'
import type { Units } from './model.ts'

/** How many units stay, and which compete. */
export interface Budget {
  readonly sparsity: number // s, in [0, 1]
  readonly scope: 'global' | 'per-layer' | 'hybrid'
  readonly policy: 'exact' | 'released'
}

/** The mask that keeps the best units. */
export function selectMask({ heads, neurons }: Units, budget: Budget): Units {
  const { scope, policy } = budget
  const leastHeads = policy === 'released' && scope !== 'hybrid' ? 0 : 1
  const leastNeurons = scope === 'hybrid' ? Math.min(256, Math.ceil(neurons[0].length / 32)) : 0
  return { heads: keepBest(heads, budget, leastHeads), neurons: keepBest(neurons, budget, leastNeurons) }
}

type Unit = readonly [l: number, unit: number]

/** The mask [L] of [U] of one kind of unit. @param least how many of its best units every ranked layer keeps */
function keepBest(scores: readonly Float32Array[], budget: Budget, least: number): Float32Array[] {
  const mask = scores.map(({ length }) => new Float32Array(length))
  const unitsOf = (l: number): Unit[] => Array.from(scores[l].keys(), (unit) => [l, unit])
  const keep = (units: readonly Unit[], count: number): void => {
    const theirs = Float32Array.from(units, ([l, unit]) => scores[l][unit])
    const places = new Int32Array(count)
    // Ties go to the first. NaN is below every number.
    top_k(places, theirs, units.length, count)
    for (const [l, unit] of Array.from(places, (place) => units[place])) mask[l][unit] = 1
  }
  const ranked = [...scores.keys()].slice(budget.policy === 'released' ? 0 : 1)
  for (const layers of budget.scope === 'per-layer' ? ranked.map((l) => [l]) : [ranked]) {
    for (const l of layers) keep(unitsOf(l), least)
    const units = layers.flatMap(unitsOf)
    const others = units.filter(([l, unit]) => mask[l][unit] === 0)
    keep(others, Math.max(0, countKept(units.length, budget) - least * layers.length))
  }
  mask[0].fill(1)
  return mask
}

/** How many of N units stay. */
function countKept(N: number, { sparsity, policy }: Budget): number {
  // Rounded to millionths first: (1 − 0.3) · 45 is 31.5 and not 31.499999999999996.
  if (policy === 'exact') return Math.round(Math.round((1 - sparsity) * N * 1e6) / 1e6)
  return N - Math.floor((Math.floor(sparsity * 100 + 1e-9) * N) / 100)
}
