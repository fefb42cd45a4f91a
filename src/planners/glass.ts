/**
 * glass: merges what the prompt uses with what matters in general (GLASS, Sattarifard et al. 2025, arXiv 2508.14302).
 *
 *   l[j]  rank of neuron j within its layer by griffin's score of the prompt (griffin.ts), the lowest 0
 *   g[j]  rank of neuron j within its layer by its mean score over a calibration, the lowest 0
 *   s[j]  = w l[j] + (1 - w) g[j],  w = 1/2
 *
 * Ranks are merged, because the two kinds of score have no common scale; equal scores share their mean rank. A short prompt
 * says little, and what it does not say comes from the calibration. The prompt runs dense. When it has run, the neurons of
 * each layer with the highest s are kept for all later tokens. Heads are not ranked: all are kept.
 *
 * The paper has two forms, whose general ranks are by activations and by their impact on the loss. Here the criterion of the
 * calibration decides: `l2norm` is of the first form, `plainact` of the second. The paper takes them from text that the model
 * wrote; here they are from the texts of the calibration. Its abstract says that ranks are aggregated and not by which
 * weights; equal ones are a choice of this project.
 */
import type { Budget } from '../masks/budget.ts'
import { ranks } from '../masks/ranks.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import { griffinScores } from './griffin.ts'
import { neuronPlanner } from './late.ts'
import type { LatePlanner } from './ranking.ts'
import { meanOf, type PlannerRecord } from './record.ts'

/** w, the weight of the prompt's rank. */
const PROMPT_WEIGHT = 0.5

/**
 * The merged ranks of the neurons of a layer: [F].
 * @param prompt [F], griffin's scores of the prompt
 * @param general [F], scores of a calibration
 */
export function mergedRanks(prompt: Float32Array, general: Float32Array): Float32Array {
  const [local, global] = [ranks(prompt), ranks(general)]
  return local.map((rank, j) => PROMPT_WEIGHT * rank + (1 - PROMPT_WEIGHT) * global[j])
}

/**
 * Keeps all heads, and of each layer the neurons whose rank by `griffinPlanner`'s score of the prompt and rank by the mean score of a
 * calibration have the highest sum (GLASS, arXiv 2508.14302).
 * @param mean the mean scores of a calibration, of which those of neurons count
 */
export function glassPlanner(mean: UnitScores, budget: Budget, topK: TopK = referenceTopK): LatePlanner {
  const { shape } = mean
  const F = shape.neurons
  const scores = (summaries: Float32Array): Float32Array => {
    const merged = new Float32Array(summaries.length)
    for (let start = 0; start < summaries.length; start += F)
      merged.set(
        mergedRanks(summaries.subarray(start, start + F), mean.neurons.subarray(start, start + F)),
        start,
      )
    return merged
  }
  return neuronPlanner('glass', shape, { summarize: griffinScores, sumsUp: true, scores }, budget, topK)
}

export const glassRecord: PlannerRecord<'glass'> = {
  name: 'glass',
  help: 'keeps neurons as griffin does, by ranks merged with those of a calibration (GLASS, arXiv 2508.14302): --calibration',
  skips: 'neurons',
  by: 'prompt',
  needs: ['calibration'],
  make: (sources, budget) => glassPlanner(meanOf('glass', sources), budget, sources.topK),
}
