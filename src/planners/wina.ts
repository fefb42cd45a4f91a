/**
 * wina: keeps the input channels of every matrix whose activation times column is largest (WINA, Chen et al. 2025, arXiv
 * 2505.19427).
 *
 *   x            what a site of a layer reads of a token (masks/channels.ts)
 *   score[i]     |x[i]| norm[i]        norm[i]: the Euclidean norm of column i of the site's matrices (column_norms.ts)
 *   channel i is kept at a token   if its score is among the C - floor(s C) largest of C; ties go to the first
 *
 * It is no prediction, and saves as little as teal does: see there. Unlike teal it needs nothing of the prompt, and masks the
 * same share of every token. The weights are read once, for the norms.
 *
 * Verified in a fork of the authors' code (osoffer/wina-amp at a918ab9; microsoft/wina was not at hand): the score, and the
 * share that is kept of every token (`topk`). Of the paper the abstract was read. Ours:
 * - q, k and v share one mask, and so do gate and up: the norm is that of their columns one under the other. The code does so
 *   where they are one matrix (Phi); else it gives each its own mask.
 * - The code first rotates the weights so that columns of k and of gate are orthogonal, takes the norms of these two, and
 *   masks the other matrices by |x| alone. Here no weight is changed, and the norms of all matrices count.
 * - All matrices have one sparsity. The code offers TEAL's greedy distribution too.
 * - The prompt is dense, where the code masks all but its first hundredth; dense layers are those of the budget.
 */
import { columnNorms } from '../engine/column_norms.ts'
import type { LoadedModel } from '../engine/loaded_model.ts'
import type { Budget } from '../masks/budget.ts'
import { referenceTopK, type TopK } from '../masks/selection.ts'
import { channelPlanner, countMasked, type ChannelPlanner } from './channels.ts'
import type { PlannerRecord } from './record.ts'

/** Keeps the channels of every token that weigh most in the matrices that read them. */
export function winaPlanner(model: LoadedModel, budget: Budget, topK: TopK = referenceTopK): ChannelPlanner {
  return channelPlanner('wina', budget, {
    choose(layer, site, x) {
      const norms = columnNorms(model, layer, site)
      const scores = x.map((value, i) => Math.abs(value) * norms[i])
      const mask = new Float32Array(x.length)
      for (const i of topK(scores, x.length - countMasked(x.length, budget.neuronSparsity))) mask[i] = 1
      return mask
    },
  })
}

export const winaRecord: PlannerRecord<'wina'> = {
  name: 'wina',
  help: 'masks channels as teal does, by size times the norm of the column of weights (WINA, arXiv 2505.19427)',
  skips: 'channels',
  by: 'channels',
  needs: [],
  make: ({ model, topK }, budget) => winaPlanner(model, budget, topK),
}
