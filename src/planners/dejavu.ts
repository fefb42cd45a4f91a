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
 * @example
 * ```ts
 * import { collectText, makeBudget, ShadowModel } from 'shadowllm'
 * import { calibrateToFolder, hashFiles, openCalibration, textSource } from 'shadowllm/eval'
 * import { dejavuPlanner, dejavuStylePlanner, makePredictorConfig } from 'shadowllm/predictor'
 * import { trainPredictor } from 'shadowllm/train'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model, prefixIds } = opt
 * const text = 'The captain looked at the sea. The men were tired, and he told them to go below. '.repeat(8)
 * const encode = (words: string): number[] => opt.encode(words)
 * const windows = { name: 'sea', encode, count: 8, seed: 0, prompt: 16, continuation: 8, prefixIds }
 * const source = textSource([{ name: 'sea', genre: 'story', text }], windows)
 * const folder = 'build/example/l2norm'
 * const modelHash = await hashFiles(opt.files)
 * await calibrateToFolder({ model, modelHash, source, examples: 8, folder, criteria: ['l2norm'] })
 *
 * const calibration = await openCalibration(folder)
 * const examples = await calibration.readAll()
 * const { hash: _, layers, heads, neurons, ...widths } = calibration.manifest.model
 * const shape = { layers, heads, neurons }
 * const dataHash = calibration.identity
 * const of = { shape, ...widths, seed: 0, examples: examples.length, criterion: 'l2norm', dataHash }
 * const how = { epochs: 2, batch: 4, rate: 0.001, decay: 0.01, heldOut: 0.1, patience: 3 }
 * for (const kind of ['dejavu', 'dejavu-style'] as const) {
 *   const { predictor } = await trainPredictor(model.backend, makePredictorConfig(kind, of), examples, how)
 *   const budget = makeBudget(0.5)
 *   const planner =
 *     predictor.kind === 'dejavu'
 *       ? dejavuPlanner(predictor, budget)
 *       : predictor.kind === 'dejavu-style'
 *         ? dejavuStylePlanner(model, predictor, budget)
 *         : null
 *   if (planner === null) throw new Error(predictor.kind)
 *   const written = await collectText(opt.generate('The captain looked at', { planner, maxTokens: 8 }))
 *   console.log(kind, written.text)
 *   predictor.dispose()
 * }
 * await opt.dispose()
 * ```
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
