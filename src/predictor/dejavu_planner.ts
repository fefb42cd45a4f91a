/**
 * DejaVu's way of deciding (arXiv 2310.17157): layer by layer, for every token.
 *
 * The predictor of layer l reads the stream that enters layer l - 1, one layer ahead of its use, so that it can run
 * beside that layer. The first layer has nothing before it and runs dense. A layer is decided before the later ones are
 * known, so units compete within their layer whatever the scope of the budget; its shares, floors and dense layers hold.
 * The mask of the prompt is decided at its last token, as for every other planner.
 */
import type { Budget } from '../masks/budget.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { referenceTopK, selectLayer, type LayerScores, type TopK } from '../masks/selection.ts'

/** What the dejavu planner asks; a `DejavuPredictor` is one. */
export interface LayerPredictor {
  /** @param stream the residual stream entering layer - 1, at one token: [D] */
  predictLayer(layer: number, stream: Float32Array): LayerScores
}

/** Decides each layer from the stream entering the layer before it; every token anew, unless told otherwise. */
export function dejavuPlanner(
  predictor: LayerPredictor,
  budget: Budget,
  topK: TopK = referenceTopK,
): MaskPlanner {
  // A pass runs through all layers at once, so what is kept between two layers is of one sequence.
  let entered: Float32Array = new Float32Array(0)
  return {
    name: 'dejavu',
    every: 1,
    beforeLayer(layer, x, tokens) {
      const ahead = entered
      entered = x.slice(x.length - x.length / tokens)
      if (layer < Math.max(1, budget.denseLayers)) return null
      return selectLayer(predictor.predictLayer(layer, ahead), budget, topK)
    },
  }
}
