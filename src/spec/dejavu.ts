/**
 * DejaVu (Liu et al. 2023, arXiv 2310.17157), the method that ShadowLLM is compared with: predictors for every layer, asked at
 * every token.
 *
 *   x = the stream that enters layer l − 1, at one token                       [D], before its norm; l ≥ 1
 *   scores of layer l = W2 (W1 x)                                             W1 [R, D], W2 [U, R], per kind of unit
 *
 * The predictor looks one layer ahead, so that it can run beside the layer that it looks at. Layer 0 is dense. A layer keeps
 * its best units when its scores are known, before those of later layers are: units compete within a layer, and x is that of the
 * sparse model, under the masks decided so far. The prompt has one mask, decided at its last token; every later token its own.
 *
 * Scores are log odds, learnt by binary cross-entropy from labels: whether a unit is among the best of its layer. A label of 0 counts
 * by the share w of labels that are 1:
 *
 *   loss = Σ (y (1 − w) + w) (−y log p − (1 − y) log(1 − p)) / N               p = 1 / (1 + e^−score)
 *
 * The released code (FMInference/DejaVu at ee902c1) adds 0.005 to w for neurons, labels a neuron where its activation is positive,
 * and keeps a fixed number of units, chosen by hand for each range of layers. There is no activation function between W1 and W2,
 * and no bias.
 */
import type { Model } from './model.ts'
import { matrix, tensor, type Tensor, type Units } from './plain.ts'
import type { UnitKind } from './program.ts'
import { selectMask, type Budget } from './select.ts'

/** The matrices of one kind of unit in one layer. */
export interface LowRank {
  readonly W1: Tensor // [R, D]
  readonly W2: Tensor // [U, R]
}

/** Of layers 1 to L − 1. */
export type LayerPredictors = readonly Readonly<Record<UnitKind, LowRank>>[]

/** The masks of a text [T] whose first tokens are the prompt, one for each token: [T]. */
export function dejavu(
  model: Model,
  predictors: LayerPredictors,
  text: Int32Array,
  prompt: number,
  budget: Budget,
): Units[] {
  const L = predictors.length + 1
  const dense = (count: number): Float32Array[] =>
    Array.from({ length: L }, () => new Float32Array(count).fill(1))
  const masks: Units[] = []
  for (let end = prompt; end <= text.length; end++) {
    const mask = { heads: dense(model.heads), neurons: dense(model.neurons) }
    // The tokens of the prompt share a mask; the others before this one have theirs.
    while (masks.length < end) masks.push(mask)
    for (let l = 1; l < L; l++) {
      const { data, shape } = model.forward(text.slice(0, end), masks).layers[l - 1].input
      const x = tensor(data.slice((end - 1) * shape[1]), 1, shape[1])
      const kept = best(predictors[l - 1], x, budget)
      mask.heads[l] = kept.heads
      mask.neurons[l] = kept.neurons
    }
  }
  return masks
}

/** The units of one layer that are kept by its stream x [1, D]. */
function best(predictor: LayerPredictors[number], x: Tensor, budget: Budget): Record<UnitKind, Float32Array> {
  const scoresOf = ({ W1, W2 }: LowRank): Float32Array => matrix(W2).dots(matrix(W1).dots(x, null), null).data
  const [heads, neurons] = [scoresOf(predictor.heads), scoresOf(predictor.neurons)]
  // A selection has a dense layer before those that are ranked. Of one layer, hybrid scope differs by what every layer keeps. What
  // the released code gives back to a layer in hybrid scope it takes from others, which one layer does not have.
  const scores = { heads: [heads, heads], neurons: [neurons, neurons] }
  const scope = budget.policy === 'exact' ? budget.scope : 'per-layer'
  const mask = selectMask(scores, { ...budget, scope })
  return { heads: mask.heads[1], neurons: mask.neurons[1] }
}
