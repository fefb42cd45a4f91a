/**
 * teal: masks the input channels of every matrix whose activations are small (TEAL, Liu et al. 2024, arXiv 2408.14690).
 *
 *   x        what a site of a layer reads of a token (masks/channels.ts)
 *   t        the threshold of the site: a share s of all |x| of the prompt is at most t
 *   channel i is left out at a token   if |x_i| <= t
 *
 * It is no prediction: it looks at each token's own activations, and all units are computed. It shows how good a choice of
 * inputs can be. Of its four sites two save something here: rows of out and fc2 are left unread where kernels pass over
 * zeros. q, k, v, fc1 and up have a row per output, and read all of it.
 *
 * Verified in the authors' code (FasterDecoding/TEAL at 66507ba, utils/utils.py): the strict comparison with one threshold per
 * matrix, the quantile of activations as that threshold, and q, k and v, or gate and up, thresholded alike under uniform
 * sparsity. Of the paper the abstract was read. Ours:
 * - Thresholds are exact quantiles over the prompt of the same text, which runs dense. Theirs come from a histogram over texts
 *   of calibration. So there is nothing to calibrate and to store; a short prompt gives rough ones.
 * - All matrices have one sparsity. The paper's best numbers distribute it greedily over the matrices of a block.
 * - The prompt is dense. The code masks its second half.
 * - Dense layers are those of the budget.
 */
import type { Budget } from '../masks/budget.ts'
import { nthLargest } from '../masks/ranks.ts'
import { channelPlanner, countMasked, type ChannelPlanner } from './channels.ts'
import type { PlannerRecord } from './record.ts'

/**
 * The threshold of a site: floor(s N) of its N activations are at most it in size, if no two are equal; -Infinity where that
 * is none.
 * @param x of the prompt: [T, C]
 * @param sparsity s, in [0, 1]
 */
export function magnitudeThreshold(x: Float32Array, sparsity: number): number {
  const masked = countMasked(x.length, sparsity)
  return masked === 0 ? -Infinity : nthLargest(x.map(Math.abs), x.length - masked + 1)
}

/** Masks the channels of every token that are no larger than the thresholds of the prompt. */
export function tealPlanner(budget: Budget): ChannelPlanner {
  return channelPlanner('teal', budget, {
    summarize: (_layer, _site, x) => Float32Array.of(magnitudeThreshold(x, budget.neuronSparsity)),
    choose: (_layer, _site, x, [threshold]) => x.map((value) => (Math.abs(value) > threshold ? 1 : 0)),
  })
}

export const tealRecord: PlannerRecord<'teal'> = {
  name: 'teal',
  help: `masks at every token the input channels of all matrices that are smallest; all units are computed, and only out and fc2 save reading (TEAL, arXiv 2408.14690)`,
  skips: 'channels',
  by: 'channels',
  needs: [],
  make: (_, budget) => tealPlanner(budget),
}
