/**
 * cats: at every token, computes the neurons whose own gate is open (CATS, Lee et al. 2024, arXiv 2404.08763).
 *
 *   g[t, j]  what the gate lets through at token t: silu(gate x), in OPT relu(fc1 x)
 *   c        the cut-off of a layer: as many |g| of the prompt as the budget says are below it
 *   neuron j is computed at token t   if |g[t, j]| >= c
 *
 * The gate is computed of all neurons; rows of `up` and of the output matrix are left unread where it is nearly shut. So this
 * is no prediction: it knows each token's own gates, and it saves less than a mask that is known beforehand. It shows how good
 * a choice of neurons can be. Heads are not ranked: all are kept. Dense layers are those of the budget; floors do not apply.
 *
 * The share that is skipped is that of the prompt; at a single token it is near it, not equal. What a table says was skipped
 * is that of the last token of each window.
 *
 * The paper takes the cut-offs from texts of training data. Here they are taken from the prompt, which runs dense, so that
 * there is nothing to calibrate and to store; a short prompt gives rough ones. In OPT a gate that is zero costs nothing in
 * the output matrix with or without a planner.
 */
import type { Budget } from '../masks/budget.ts'
import type { PlannerBy } from '../masks/planner.ts'
import { nthLargest } from '../masks/ranks.ts'
import { countMasked } from './channels.ts'
import type { PlannerRecord } from './record.ts'

/**
 * The cut-off of a layer: floor(s N) of its N gates are below it, if no two are equal; Infinity where that is all of them.
 * @param gate of the prompt: [T, F]
 * @param sparsity s, in [0, 1]
 */
export function gateCutoff(gate: Float32Array, sparsity: number): number {
  const kept = gate.length - countMasked(gate.length, sparsity)
  return kept === 0 ? Infinity : nthLargest(gate.map(Math.abs), kept)
}

/** Decides the neurons of every token by their gates, by cut-offs from the prompt. */
export function catsPlanner({ neuronSparsity, denseLayers }: Budget): PlannerBy<'gate'> {
  return {
    name: 'cats',
    by: 'gate',
    every: 1,
    summarize: (layer, gate) => Float32Array.of(layer < denseLayers ? 0 : gateCutoff(gate, neuronSparsity)),
    choose: (_, gate, [cutoff]) => gate.map((value) => (Math.abs(value) >= cutoff ? 1 : 0)),
  }
}

export const catsRecord: PlannerRecord<'cats'> = {
  name: 'cats',
  help: `computes at every token the neurons whose own gate is open, and all heads; the gates of all neurons are computed (CATS, arXiv 2404.08763)`,
  skips: 'neurons',
  by: 'gate',
  needs: [],
  make: (_, budget) => catsPlanner(budget),
}
