/**
 * plainact, the criterion of ShadowLLM, in its activation form (arXiv 2406.16635).
 *
 *   head:    sum over tokens of | <a[t, h], g[t, h]> |     a = softmax(q kᵀ) v before the output matrix, g = dL/da
 *   neuron:  sum over tokens of | a[t, j] g[t, j] |        a = relu(fc1(x)), in Llama silu(gate(x)) up(x), g = dL/da
 *
 * It is the first-order estimate of the change of the loss when the unit is zeroed, with absolute values per token.
 * `plainact-signed` keeps the sign; it is then exactly dL/dm of the unit's mask m at m = 1. With one token the two have
 * the same size. Inner products over a head are striped, sums over tokens sequential, in float32.
 *
 * If the pass ran under a mask, g is the gradient after the mask, so that both are derivatives at that mask: the score of a
 * skipped unit estimates the change of the loss if it were computed. If the trace put estimates in the place of skipped units, a is
 * the residual, which no other unit makes up for.
 *
 * The released code scores neurons by weights instead, sum over inputs of |W1 dW1|: another criterion, `plainact-weight`.
 */
import type { UnitScores } from '../masks/selection.ts'
import { dot } from '../ops/float32.ts'
import type { Criterion, CriterionInput } from './criterion.ts'
import { scoreLayers } from './unit_scores.ts'

/**
 * Activation times gradient of each unit, summed over tokens: [U]. Without `signed`, the size of each token's term is
 * summed.
 */
export function sensitivity(
  activation: Float32Array, // [T, U, K]
  gradient: Float32Array, // [T, U, K]
  units: number, // U
  size: number, // K: the head size, or 1 for neurons
  signed: boolean,
): Float32Array {
  const scores = new Float32Array(units)
  for (let start = 0; start < activation.length; start += units * size)
    for (let unit = 0; unit < units; unit++) {
      const at = start + unit * size
      const term =
        size === 1 ? Math.fround(activation[at] * gradient[at]) : dot(activation, at, gradient, at, size)
      scores[unit] += signed ? term : Math.abs(term)
    }
  return scores
}

/** The inputs from an example. */
type Passes = Pick<CriterionInput, 'model' | 'trace' | 'gradients'>

/** Activation times gradient of the heads of a layer, summed over tokens: [H]. */
export function plainactHeads(
  { model, trace, gradients }: Passes,
  layer: number,
  signed: boolean,
): Float32Array {
  const { heads, headSize } = model.config
  return sensitivity(trace.residual(layer, 'heads'), gradients.maskedHeadOut(layer), heads, headSize, signed)
}

/** Activation times gradient of the neurons of a layer, summed over tokens: [F]. */
export function plainactNeurons(
  { model, trace, gradients }: Passes,
  layer: number,
  signed: boolean,
): Float32Array {
  return sensitivity(
    trace.residual(layer, 'neurons'),
    gradients.maskedFc1Act(layer),
    model.config.neurons,
    1,
    signed,
  )
}

/** dL/dm of every unit, at the mask of the trace. */
export function maskGradients(passes: Passes): UnitScores {
  return scoreUnits(passes, true)
}

function scoreUnits(input: Passes, signed: boolean): UnitScores {
  return scoreLayers(
    input.model.shape,
    (layer) => plainactHeads(input, layer, signed),
    (layer) => plainactNeurons(input, layer, signed),
  )
}

/** The size of each token's sensitivity, summed. */
export const plainact: Criterion = {
  name: 'plainact',
  help: 'Output times gradient of the loss, its size summed over the tokens: the criterion of ShadowLLM.',
  formula: 'head: sum_t |<a, dL/da>|; neuron: sum_t |a dL/da|, after ReLU',
  cost: { forward: 0, backward: 0 },
  score: (input) => scoreUnits(input, false),
}

/** The derivative of the loss with respect to the unit's mask. */
export const plainactSigned: Criterion = {
  name: 'plainact-signed',
  help: 'As plainact, with its sign: tokens that would raise and lower the loss cancel.',
  formula: 'head: sum_t <a, dL/da>; neuron: sum_t a dL/da, after ReLU',
  cost: { forward: 0, backward: 0 },
  score: maskGradients,
}
