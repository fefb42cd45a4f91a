/**
 * griffin: keeps the neurons that the prompt uses most, relative to the size of each token's activations (GRIFFIN,
 * Dong et al. 2024, arXiv 2404.01365).
 *
 *   z[t, j]  activation of neuron j at token t of the prompt: relu(fc1 x), in Llama silu(gate x) up x
 *   s[j]     = sqrt( sum over t of ( z[t, j] / |z[t]| )² )         |z[t]| = sqrt( sum over j of z[t, j]² )
 *
 * The prompt runs dense. When it has run, the k neurons of each layer with the highest s are kept for all later tokens.
 * There is nothing to train and nothing to load. Heads are not ranked: all are kept.
 *
 * A token whose activations are all zero adds nothing; the released code (hdong920/GRIFFIN) divides by zero there. Scores
 * are compared within a layer, as in the paper. Dense layers and the rounding of k are those of the budget: by default
 * layer 0 is dense here, and is pruned in the paper.
 */
import type { Budget } from '../masks/budget.ts'
import type { UnitShape } from '../masks/mask.ts'
import { referenceTopK, type TopK } from '../masks/selection.ts'
import { neuronPlanner } from './late.ts'
import type { LatePlanner } from './ranking.ts'
import type { PlannerRecord } from './record.ts'

/**
 * The score of each neuron of a layer: [F]. Sums are in float64, tokens in order, and become float32 once, at the end.
 * @param activations of the prompt: [T, F]
 * @param tokens T, at least 1
 * @param sums of the tokens before these, which are added to: [F]
 */
export function griffinScores(
  activations: Float32Array,
  tokens: number,
  sums: Float64Array = new Float64Array(activations.length / tokens),
): Float32Array {
  const F = sums.length
  for (let start = 0; start < activations.length; start += F) {
    let squares = 0
    for (let j = 0; j < F; j++) squares += activations[start + j] * activations[start + j]
    if (squares === 0) continue
    for (let j = 0; j < F; j++) sums[j] += (activations[start + j] * activations[start + j]) / squares
  }
  return Float32Array.from(sums, Math.sqrt)
}

/**
 * Keeps all heads, and of each layer the neurons that the prompt uses most (GRIFFIN, arXiv 2404.01365). The score of a neuron is a
 * sum over the tokens of the prompt: the square of its activation, divided by the sum of these squares over the layer. The prompt
 * runs dense; the mask is decided when it has run.
 * @param shape the sizes of the model, `model.shape`
 * @param budget its share of neurons and its dense layers count
 * @example
 * ```ts
 * import { collectText, makeBudget, ShadowModel } from 'shadowllm'
 * import { griffinPlanner } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const planner = griffinPlanner(opt.model.shape, makeBudget(0, { neuronSparsity: 0.5 }))
 * const { text } = await collectText(opt.generate('Once upon a time', { planner, maxTokens: 12 }))
 * console.log(text)
 * await opt.dispose()
 * ```
 */
export function griffinPlanner(shape: UnitShape, budget: Budget, topK: TopK = referenceTopK): LatePlanner {
  return neuronPlanner(
    'griffin',
    shape,
    { summarize: griffinScores, sumsUp: true, scores: (all) => all },
    budget,
    topK,
  )
}

export const griffinRecord: PlannerRecord<'griffin'> = {
  name: 'griffin',
  help: `keeps the neurons of each layer that the prompt itself uses most, and all heads; the prompt runs dense (GRIFFIN, arXiv 2404.01365)`,
  skips: 'neurons',
  by: 'prompt',
  needs: [],
  make: ({ model, topK }, budget) => griffinPlanner(model.shape, budget, topK),
}
