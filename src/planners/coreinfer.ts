/**
 * coreinfer: keeps the neurons that are most often among the strongest of a token of the prompt (CoreInfer, Wang et al.
 * 2024, arXiv 2410.18311, its "core neurons" of a stable sentence).
 *
 *   z[t, j]  activation of neuron j at token t of the prompt: relu(fc1 x), in Llama silu(gate x) up x
 *   n        = floor( 0.2 × mean over t of the number of positive z[t, ·] )
 *   s[j]     = number of tokens t where z[t, j] is positive and among the n largest of z[t, ·]
 *
 * The prompt runs dense. When it has run, the neurons of each layer with the highest counts are kept for all later tokens.
 * Heads are not ranked: all are kept.
 *
 * n is the same for every token of a layer, as in the code at Huzifa1/CoreInfer on GitHub. That code fills up a token that has
 * fewer positive activations with its largest negative ones; here these do not count. It also ranks OPT's neurons before
 * ReLU, which makes no other difference. Equal activations of a token, and equal counts, go to the lower index. How many neurons
 * are kept and which layers are dense is up to the budget. A short prompt has few distinct counts, and n is 0 where a token has
 * fewer than five positive activations on average: then all counts are 0.
 */
import type { Budget } from '../masks/budget.ts'
import type { UnitShape } from '../masks/mask.ts'
import { nthLargest } from '../masks/ranks.ts'
import { referenceTopK, type TopK } from '../masks/selection.ts'
import { neuronPlanner } from './late.ts'
import type { LatePlanner } from './ranking.ts'
import type { PlannerRecord } from './record.ts'

/** The share of a token's positive activations that make a neuron one of its core neurons. */
const CORE_SHARE = 0.2

/**
 * How often each neuron of a layer is a core neuron: [F].
 * @param activations of the prompt: [T, F]
 * @param tokens T, at least 1
 */
export function coreCounts(activations: Float32Array, tokens: number): Float32Array {
  const F = activations.length / tokens
  const counts = new Float32Array(F)
  let positives = 0
  for (const value of activations) if (value > 0) positives++
  const most = Math.floor((CORE_SHARE * positives) / tokens)
  if (most === 0) return counts
  const positive = new Float32Array(F)
  for (let start = 0; start < activations.length; start += F) {
    const row = activations.subarray(start, start + F)
    let found = 0
    for (const value of row) if (value > 0) positive[found++] = value
    // Of activations equal to the n-th largest as many count as there is room for.
    const least = found > most ? nthLargest(positive.subarray(0, found), most) : 0
    let room = most
    for (const value of row) if (value > least) room--
    for (let j = 0; j < F; j++)
      if (row[j] > least || (least > 0 && row[j] === least && room-- > 0)) counts[j]++
  }
  return counts
}

/**
 * Keeps all heads, and of each layer the neurons that are most often among the strongest of a token (CoreInfer, arXiv 2410.18311). It
 * counts the tokens of the prompt for which a neuron is positive and among the n largest, where n is a fifth of the positive
 * neurons of a mean token. The prompt runs dense; the mask is decided when it has run.
 * @param shape the sizes of the model, `model.shape`
 * @param budget its share of neurons and its dense layers count
 * @example
 * ```ts
 * import { collectText, makeBudget, ShadowModel } from 'shadowllm'
 * import { coreinferPlanner } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const planner = coreinferPlanner(opt.model.shape, makeBudget(0, { neuronSparsity: 0.5 }))
 * const { text } = await collectText(opt.generate('Once upon a time', { planner, maxTokens: 12 }))
 * console.log(text)
 * await opt.dispose()
 * ```
 */
export function coreinferPlanner(shape: UnitShape, budget: Budget, topK: TopK = referenceTopK): LatePlanner {
  return neuronPlanner('coreinfer', shape, { summarize: coreCounts, scores: (all) => all }, budget, topK)
}

export const coreinferRecord: PlannerRecord<'coreinfer'> = {
  name: 'coreinfer',
  help: 'keeps neurons as griffin does, by how often a neuron is among the strongest of a token (CoreInfer, arXiv 2410.18311)',
  skips: 'neurons',
  by: 'prompt',
  needs: [],
  make: ({ model, topK }, budget) => coreinferPlanner(model.shape, budget, topK),
}
