/**
 * The DejaVu planner (arXiv 2310.17157): it decides layer by layer, for every token.
 *
 * The predictor of layer l reads the stream that enters layer l - 1, one layer ahead of its use, so that it can run
 * in parallel with that layer. Layer 0 has no predecessor and runs dense. A layer is decided before the scores of later
 * layers are known, so units compete within their layer for every scope; sparsities, floors and dense layers apply.
 * The mask of the prompt is decided at its last token, as for every other planner.
 */
import type { Budget } from '../masks/budget.ts'
import type { PlannerBy } from '../masks/planner.ts'
import { referenceTopK, selectLayer, type TopK } from '../masks/selection.ts'
import type { LayerPredictor } from './predictors.ts'
import { given, type PlannerRecord } from './record.ts'

/**
 * Keeps the units that the predictor of each layer expects to matter most, from the stream that enters the layer before it (DejaVu,
 * arXiv 2310.17157); by default it decides at every token.
 * @specified `dejavu`
 */
export function dejavuPlanner(
  predictor: LayerPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
): PlannerBy<'layer'> {
  // A pass runs through all layers without interruption, so the state between two layers belongs to one sequence.
  let entered: Float32Array = new Float32Array(0)
  return {
    name: 'dejavu',
    by: 'layer',
    every: 1,
    choose(layer, x, tokens) {
      const ahead = entered
      entered = x.slice(x.length - x.length / tokens)
      if (layer < Math.max(1, budget.denseLayers)) return null
      return selectLayer(predictor.predictLayer(layer, ahead), budget, topK)
    },
  }
}

export const dejavuRecord: PlannerRecord<'dejavu'> = {
  name: 'dejavu',
  help: 'each layer decides from the stream one layer earlier: --predictor',
  skips: 'units',
  by: 'layer',
  needs: ['predictor'],
  make: ({ dejavu, topK }, budget) =>
    dejavuPlanner(given('dejavu', dejavu, 'a DejaVu predictor'), budget, topK),
}
