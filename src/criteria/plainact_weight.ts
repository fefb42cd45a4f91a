/**
 * plainact as the released code of ShadowLLM computes it (abdelfattah-lab/shadow_llm, lm_eval/base.py): heads by
 * activation, neurons by weight.
 *
 *   head:    sum over tokens of | <a[t, h], g[t, h]> |       as plainact
 *   neuron:  sum over inputs e of | W1[j, e] dW1[j, e] |     dW1 = gzᵀ x, summed over tokens before the size is taken
 *
 * The neuron's form is the saliency of SNIP (Lee et al. 2019) over its incoming weights. It is another criterion than
 * plainact: without sizes it is the sum over tokens of gz (z - b1), so it leaves out the bias, and terms of different
 * tokens cancel where plainact adds them.
 */
import { valuesOf } from '../backends/calls.ts'
import type { LoadedModel } from '../engine/loaded_model.ts'
import type { Matrix } from '../engine/storages/index.ts'
import { layerOf, parametersOf, siteIn, type Step } from '../engine/plan.ts'
import type { Criterion } from './criterion.ts'
import { plainactHeads } from './plainact.ts'
import { scoreLayers, sumPerUnit } from './unit_scores.ts'
import { fc1WeightGradient, weightGradientCost } from './weight_gradient.ts'

/** The matrix before the activation function: [F, D], of fc1 or of the gate. */
export function firstWeights({ plan, backend, weights }: LoadedModel, layer: number): Float32Array {
  const { gate } = siteIn(layerOf(plan, layer), 'neurons')
  const [{ name }] = parametersOf((gate as Step).value)
  return backend.readF32(valuesOf(weights.matrices.get(name) as Matrix))
}

/** Sum over inputs of |weight times its gradient|, per neuron: [F]. */
export function weightSensitivity(
  weight: Float32Array, // [F, D]
  weightGrad: Float32Array, // [F, D]
  neurons: number, // F
): Float64Array {
  const D = weight.length / neurons
  return sumPerUnit(weight.length, neurons, D, (i) => Math.abs(weight[i] * weightGrad[i]))
}

/** Heads by activation, neurons by weight. */
export const plainactWeight: Criterion = {
  name: 'plainact-weight',
  help: 'plainact as the released code has it: neurons by weights times their gradients.',
  formula: 'head: sum_t |<a, dL/da>|; neuron: sum_in |W1 dL/dW1|',
  cost: weightGradientCost,
  score: (input) => {
    const { shape } = input.model
    return scoreLayers(
      shape,
      (layer) => plainactHeads(input, layer, false),
      (layer) =>
        weightSensitivity(firstWeights(input.model, layer), fc1WeightGradient(input, layer), shape.neurons),
    )
  },
}
