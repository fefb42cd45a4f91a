/**
 * griffin-static: mean scores of a calibration, weighted by what the prompt uses.
 *
 *   head:    s[h] = m[h]
 *   neuron:  s[j] = m[j] sqrt( g[j] )
 *
 * m is the mean score over a calibration, as the static planner ranks by it, and g is griffin's score of the prompt
 * (griffin.ts). The calibration gives the scale, so that units of different layers compete as for static. The prompt moves
 * neurons within their layer; it says nothing of heads. The prompt runs dense, and the mask holds for all later tokens. No
 * paper has this planner; it is of this project.
 *
 * Products are in float64 and become float32 once. A mean score below zero, which criteria with a sign have, ranks a neuron
 * the lower, the more the prompt uses it.
 */
import type { Budget } from '../masks/budget.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import { griffinScores } from './griffin.ts'
import { latePlanner } from './late.ts'
import type { LatePlanner } from './ranking.ts'
import { meanOf, type PlannerRecord } from './record.ts'

/**
 * Keeps the units with the highest mean scores of a calibration, where that of a neuron is multiplied by `griffinPlanner`'s score of
 * the prompt. The prompt runs dense; the mask is decided when it has run.
 * @param mean the mean scores of a calibration
 */
export function griffinStaticPlanner(
  mean: UnitScores,
  budget: Budget,
  topK: TopK = referenceTopK,
): LatePlanner {
  const scores = (summaries: Float32Array): UnitScores => ({
    ...mean,
    neurons: mean.neurons.map((score, place) => score * Math.sqrt(summaries[place])),
  })
  return latePlanner('griffin-static', { summarize: griffinScores, sumsUp: true, scores }, budget, topK)
}

export const griffinStaticRecord: PlannerRecord<'griffin-static'> = {
  name: 'griffin-static',
  help: `keeps what static does, where the score of a neuron counts by how much the prompt uses it; the prompt runs dense: --calibration`,
  skips: 'units',
  by: 'prompt',
  needs: ['calibration'],
  make: (sources, budget) => griffinStaticPlanner(meanOf('griffin-static', sources), budget, sources.topK),
}
