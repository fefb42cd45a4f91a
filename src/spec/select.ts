/**
 * From scores to a mask (arXiv 2406.16635): the units with the highest scores stay. Heads and neurons are counted apart, at one
 * sparsity.
 *
 *   kept = round((1 − s) N)             of the N units after layer 0, at sparsity s; halves round up
 *
 *   global      all layers compete, and every layer keeps its best head: the paper's ShadowLLM
 *   per-layer   the units of each layer compete: N is H or F, and every layer keeps its best head
 *   hybrid      global, and every layer keeps its best head and its best min(256, ⌈F / 32⌉) neurons
 *
 * What a layer keeps in this way counts as kept; where all of it together is more than the budget, all of it stays. Layer 0 is
 * dense: it has run when the predictor is asked. Ties go to the lower layer, then to the lower index.
 *
 * The released code (abdelfattah-lab/shadow_llm at bdc5ad5, lm_eval/models/opt.py:316) counts otherwise:
 *
 *   skipped = ⌊⌊100 s⌋ N / 100⌋         of the N units of all layers; ties in any order
 *
 * It makes layer 0 dense after that, so that per-layer scope skips s (1 − 1/L) of the units. Global and per-layer scope guarantee
 * nothing. Hybrid scope skips globally, and finds the layers that kept fewer than 1 head or 256 neurons; for each of them it
 * skips so many more of the lowest units of all layers, and then gives it its best ones back. It does not look again, so that a
 * layer may be left with fewer, or with none. `policy: 'paper-compatible'` does this, with the ties and the 256 of above.
 */
import { top_k } from '../ops/top_k.ts'
import type { Units } from './plain.ts'

/** How many units stay, and which compete. */
export interface Budget {
  readonly sparsity: number // s, in [0, 1]
  readonly scope: 'global' | 'per-layer' | 'hybrid'
  readonly policy: 'exact' | 'paper-compatible'
}

/** A number for each unit of each layer: [L] of [U]. */
type Scores = readonly Float32Array[]

/** The mask that keeps the best units. */
export function selectMask({ heads, neurons }: Units, budget: Budget): Units {
  const leastNeurons = budget.scope === 'hybrid' ? Math.min(256, Math.ceil(neurons[0].length / 32)) : 0
  const select = budget.policy === 'exact' ? keepBest : keepAsReleased
  return { heads: select(heads, budget, 1), neurons: select(neurons, budget, leastNeurons) }
}

/** A mask [L] of [U] that is being made from scores, and the units of its layers. */
class Selection {
  readonly mask: Float32Array[]
  readonly #scores: Scores

  constructor(scores: Scores) {
    this.#scores = scores
    this.mask = scores.map(({ length }) => new Float32Array(length))
  }

  /** Keeps the best of some layers that are not kept yet. Ties go to the first; NaN is below every number. */
  keep(layers: readonly number[], count: number): void {
    const units = layers.flatMap((l) => Array.from(this.mask[l].keys(), (unit) => [l, unit] as const))
    const others = units.filter(([l, unit]) => this.mask[l][unit] === 0)
    const scores = Float32Array.from(others, ([l, unit]) => this.#scores[l][unit])
    const places = new Int32Array(Math.min(Math.max(0, count), others.length))
    top_k(places, scores, others.length, places.length)
    for (const place of places) this.mask[others[place][0]][others[place][1]] = 1
  }

  /** How many units of a layer are kept. */
  kept(l: number): number {
    return this.mask[l].reduce((sum, kept) => sum + kept, 0)
  }
}

/** The mask of one kind of unit. @param least how many of its best units every layer keeps */
function keepBest(scores: Scores, { scope, sparsity }: Budget, least: number): Scores {
  const selection = new Selection(scores)
  const [U, ranked] = [scores[0].length, [...scores.keys()].slice(1)]
  for (const layers of scope === 'per-layer' ? ranked.map((l) => [l]) : [ranked]) {
    for (const l of layers) selection.keep([l], least)
    // Rounded to millionths first: (1 − 0.3) · 45 is 31.5 and not 31.499999999999996.
    const count = Math.round(Math.round((1 - sparsity) * layers.length * U * 1e6) / 1e6)
    selection.keep(layers, count - least * layers.length)
  }
  selection.mask[0].fill(1)
  return selection.mask
}

/** The mask of one kind of unit as the released code has it. @param least what a layer that came short gets back in hybrid scope */
function keepAsReleased(scores: Scores, { scope, sparsity }: Budget, least: number): Scores {
  const [U, all] = [scores[0].length, [...scores.keys()]]
  const counted = (N: number): number => N - Math.floor((Math.floor(sparsity * 100 + 1e-9) * N) / 100)
  const selection = new Selection(scores)
  if (scope === 'per-layer') for (const l of all) selection.keep([l], counted(U))
  else {
    const first = new Selection(scores)
    first.keep(all, counted(all.length * U))
    const short = scope === 'hybrid' ? all.filter((l) => first.kept(l) < least) : []
    selection.keep(all, counted(all.length * U) - least * short.length)
    for (const l of short) selection.keep([l], least - selection.kept(l))
  }
  selection.mask[0].fill(1)
  return selection.mask
}
