/**
 * Planners that mask the input channels of matrices, token by token, by what these are to read (masks/channels.ts).
 */
import type { Budget } from '../masks/budget.ts'
import type { PlannerBy } from '../masks/planner.ts'

/** One of them. */
export type ChannelPlanner = PlannerBy<'channels'>

/** A planner of input channels. Dense layers are neither summarized nor masked. */
export function channelPlanner(
  name: string,
  { denseLayers }: Budget,
  { summarize, choose }: Pick<ChannelPlanner, 'summarize' | 'choose'>,
): ChannelPlanner {
  return {
    name,
    by: 'channels',
    every: 1,
    ...(summarize && {
      summarize: (layer, ...shown) =>
        layer < denseLayers ? new Float32Array(0) : summarize(layer, ...shown),
    }),
    choose: (layer, site, x, summary) =>
      layer < denseLayers ? new Float32Array(x.length).fill(1) : choose(layer, site, x, summary),
  }
}

/** How many of N channels, or activations, a sparsity leaves out: floor(s N). @param sparsity s, in [0, 1] */
export function countMasked(N: number, sparsity: number): number {
  // A share such as 0.29 of 100 is 28.999999999999996.
  return Math.floor(sparsity * N + 1e-9)
}
