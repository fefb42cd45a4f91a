/**
 * second-order: the second-order increase of the loss when a unit is removed, by the curvature of the model's distribution.
 *
 *   score = 1/2 h m²  at m = 1,     h = the diagonal of the Gauss-Newton matrix of the mean loss in the masks
 *         = 1/2 mean over scored positions of E_y [ (d ln p(y) / dm)² ],  y drawn from the model itself
 *
 * It is the saliency 1/2 h w² of Optimal Brain Damage (LeCun et al. 1990) with a mask in the place of a weight, and so
 * Hessian times activation squared: m scales the activation. For cross-entropy the Gauss-Newton matrix is the Fisher
 * matrix (Martens 2020, "New insights and perspectives on the natural gradient method"): h is the second derivative of
 * KL( p at m = 1 || p at m ), averaged over positions, it is never negative, and it does not depend on the labels.
 *
 * The expectation is estimated: in each of DRAWS draws every scored position gets a label of the model's own
 * distribution, and one backward pass gives the gradient of the mean loss of those; labels of different positions are
 * drawn independently, so cross terms vanish in the mean, and n g² over n positions estimates h without bias. The exact
 * sum would need a backward pass for every position and word. Four draws leave an error of about 70 % of h for one
 * example (as chi squared of four degrees does); the mean over many examples is much better, which is what predictors
 * and static masks learn.
 *
 * The ShadowLLM paper (arXiv 2406.16635) leaves second-order criteria to later work; this definition is ours.
 */
import { unitKinds } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import { backward } from '../engine/backward.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { exponentials } from '../ops/softmax.ts'
import { countScored } from '../engine/loss.ts'
import { Random } from '../tensor/random.ts'
import type { Criterion, CriterionInput } from './criterion.ts'
import { maskGradients } from './plainact.ts'

/** Draws of labels for each example. */
const DRAWS = 4

/**
 * A label of the model's own distribution for every position that is scored.
 * @param logits [T, V]; the label of position t comes from row t - 1
 * @param labels [T], -100 where not scored
 */
export function drawLabels(logits: Float32Array, labels: Int32Array, random: Random): Int32Array {
  const V = logits.length / labels.length
  const weights = new Float32Array(V)
  return labels.map((label, t) => {
    if (t === 0 || label === NOT_SCORED) return NOT_SCORED
    const { total } = exponentials(weights, 0, logits, (t - 1) * V, V)
    let left = random.uniform() * total
    // Rounding may leave a remainder at the end; it goes to the last token of positive probability.
    let chosen = 0
    for (let word = 0; word < V && left >= 0; word++) {
      if (weights[word] > 0) chosen = word
      left -= weights[word]
    }
    return chosen
  })
}

/** Adds half of n g² to every unit's score, g the mask gradient of the mean loss of these n labels. */
export function addCurvature(
  sums: UnitScores,
  { model, trace }: Pick<CriterionInput, 'model' | 'trace'>,
  labels: Int32Array,
  share: number,
): void {
  const half = (share * countScored(labels)) / 2
  const gradients = backward(model, trace, labels)
  try {
    const slopes = maskGradients({ model, trace, gradients })
    for (const kind of unitKinds)
      slopes[kind].forEach((slope, unit) => (sums[kind][unit] += half * slope * slope))
  } finally {
    gradients.dispose()
  }
}

/** Half the Gauss-Newton curvature, from a number of draws. */
export const secondOrder: Criterion = {
  name: 'second-order',
  help: 'How sharply the loss curves as the unit is turned down, by labels that the model itself draws.',
  formula: '1/2 h m², h = diagonal of the Gauss-Newton matrix of the loss in the masks, at m = 1',
  cost: { forward: 0, backward: DRAWS },
  score: (input) => {
    const { shape } = input.model
    const random = new Random(input.seed)
    const logits = input.trace.logits()
    const sums = {
      shape,
      heads: new Float32Array(shape.layers * shape.heads),
      neurons: new Float32Array(shape.layers * shape.neurons),
    }
    for (let draw = 0; draw < DRAWS; draw++)
      addCurvature(sums, input, drawLabels(logits, input.labels, random), 1 / DRAWS)
    return sums
  },
}
