/**
 * Planners that mask the input channels of matrices, token by token, by what these are to read (masks/channels.ts).
 */
import type { Budget } from '../masks/budget.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import type { ChannelPlannerName } from './late_planner.ts'

/** One of them. */
export type ChannelPlanner = MaskPlanner & Required<Pick<MaskPlanner, 'chooseChannels'>>

/** Makes one. Dense layers are neither summarized nor masked. */
export function channelPlanner(
  name: ChannelPlannerName,
  { denseLayers }: Budget,
  { summarizeChannels, chooseChannels }: Pick<ChannelPlanner, 'summarizeChannels' | 'chooseChannels'>,
): ChannelPlanner {
  return {
    name,
    every: 1,
    ...(summarizeChannels && {
      summarizeChannels: (layer, ...shown) =>
        layer < denseLayers ? new Float32Array(0) : summarizeChannels(layer, ...shown),
    }),
    chooseChannels: (layer, site, x, summary) =>
      layer < denseLayers ? new Float32Array(x.length).fill(1) : chooseChannels(layer, site, x, summary),
  }
}

/** How many of N channels, or activations, a sparsity leaves out: floor(s N). @param sparsity s, in [0, 1] */
export function countMasked(N: number, sparsity: number): number {
  // A share such as 0.29 of 100 is 28.999999999999996.
  return Math.floor(sparsity * N + 1e-9)
}
