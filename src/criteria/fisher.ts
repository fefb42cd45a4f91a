/**
 * fisher: squares of activation times gradient, as the released code of ShadowLLM takes them
 * (abdelfattah-lab/shadow_llm, lm_eval/base.py, after Abdelfattah et al. 2021).
 *
 *   head:    sum over channels i of the mean over tokens of (a[t, h, i] g[t, h, i])²
 *   neuron:  mean over tokens of (z[t, j] gz[t, j])²      z = fc1(x), in Llama gate(x)
 *
 * After ReLU a neuron has the same value, as gz = 0 where z < 0. After silu it has another.
 *
 * Fisher pruning (Theis et al. 2018) squares what a whole unit contributes, after the sum over its channels and places;
 * here every element is squared on its own, so nothing cancels. `second-order` is the curvature itself.
 */
import type { Criterion } from './criterion.ts'
import { scoreLayers, sumPerUnit } from './unit_scores.ts'

/** Sum over elements of (activation times gradient)², per unit, over the number of tokens: [U]. */
function meanSquaredSensitivity(
  activation: Float32Array, // [T, U, K]
  gradient: Float32Array, // [T, U, K]
  units: number,
  size: number,
): Float64Array {
  const T = activation.length / (units * size)
  return sumPerUnit(activation.length, units, size, (i) => (activation[i] * gradient[i]) ** 2).map(
    (total) => total / T,
  )
}

/** Mean over tokens of squared activation times gradient. */
export const fisher: Criterion = {
  name: 'fisher',
  help: 'Output times gradient of the loss, squared number by number and averaged over the tokens.',
  formula: 'head: sum_i mean_t (a dL/da)²; neuron: mean_t (z dL/dz)², before ReLU',
  cost: { forward: 0, backward: 0 },
  score: ({ model, trace, gradients }) => {
    const { shape, config } = model
    return scoreLayers(
      shape,
      (layer) =>
        meanSquaredSensitivity(trace.headOut(layer), gradients.headOut(layer), shape.heads, config.headSize),
      (layer) => meanSquaredSensitivity(trace.fc1Pre(layer), gradients.fc1Pre(layer), shape.neurons, 1),
    )
  },
}
