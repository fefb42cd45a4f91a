/**
 * dejavu-style: the baseline of ShadowLLM's authors. Scores of each layer are predicted from the outputs of its own heads, which needs
 * a dense pass over the prompt first: it measures the quality of such scores and cannot save work on the prompt. The buffers of
 * the pass are freed before the mask is returned.
 */
import { contextWidth } from '../engine/config.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import type { Budget } from '../masks/budget.ts'
import type { PromptView } from '../masks/planner.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import type { HeadOutputsPredictor, InputScaling } from './predictors.ts'
import { rankingPlanner, type RankingPlanner } from './ranking.ts'
import { given, type PlannerRecord } from './record.ts'

/**
 * Keeps the units with the highest scores, predicted from the head outputs of every layer at the last prompt token of a dense
 * pass. The paper's code does not scale them unless units compete within their layer; nor does the paper-compatible policy.
 */
export function dejavuStylePlanner(
  model: LanguageModel,
  predictor: HeadOutputsPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
): RankingPlanner {
  const asShipped = budget.policy === 'paper-compatible' && budget.scope !== 'per-layer'
  const scaling: InputScaling = asShipped ? 'as-shipped' : 'fixed'
  const scores = ({ ids }: PromptView): UnitScores => {
    const trace = traceForward(model, ids)
    try {
      return predictor.predict(lastHeadOutputs(trace), scaling)
    } finally {
      trace.dispose()
    }
  }
  return rankingPlanner(
    'dejavu-style',
    { scores, criterion: predictor.config?.criterion ?? null, budget },
    topK,
  )
}

/** The heads' outputs of every layer at the last token: [L, H K]. */
export function lastHeadOutputs(trace: Trace): Float32Array {
  const { config } = trace.model
  const { layers } = config
  const width = contextWidth(config)
  const outputs = new Float32Array(layers * width)
  for (let layer = 0; layer < layers; layer++)
    outputs.set(trace.headOut(layer).subarray((trace.length - 1) * width), layer * width)
  return outputs
}

export const dejavuStyleRecord: PlannerRecord<'dejavu-style'> = {
  name: 'dejavu-style',
  help: 'keeps the units that the predictors of their layers expect to matter most, after a dense pass over the prompt: --predictor',
  skips: 'units',
  by: 'attention',
  needs: ['predictor'],
  make: (sources, budget) => {
    const predictor = given('dejavu-style', sources['dejavu-style'], 'a DejaVu-style predictor')
    return dejavuStylePlanner(sources.model, predictor, budget, sources.topK)
  },
}
