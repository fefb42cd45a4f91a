/**
 * gradnorm: the norm of the gradient that reaches a unit (Abdelfattah et al. 2021, "Zero-cost proxies for lightweight
 * NAS"; in the form of abdelfattah-lab/shadow_llm, lm_eval/base.py).
 *
 *   head:    sqrt( sum over tokens and channels of g[t, h]² )     g = dL/da, a = softmax(q kᵀ) v before out_proj
 *   neuron:  sqrt( sum over inputs e of dW1[j, e]² )              dW1 = gzᵀ x
 *
 * It ignores the size of the unit's output: a neuron whose output is nearly 0 may score high.
 */
import type { Criterion } from './criterion.ts'
import { normPerUnit, scoreLayers } from './unit_scores.ts'
import { fc1WeightGradient, weightGradientCost } from './weight_gradient.ts'

/** Heads by the gradient of their output, neurons by that of their incoming weights. */
export const gradnorm: Criterion = {
  name: 'gradnorm',
  help: 'The length of the gradient that reaches the unit, whatever the unit puts out.',
  formula: 'head: sqrt(sum_t |dL/da|²); neuron: sqrt(sum_in (dL/dW1)²)',
  cost: weightGradientCost,
  score: (input) => {
    const { shape, config } = input.model
    return scoreLayers(
      shape,
      (layer) => normPerUnit(input.gradients.headOut(layer), shape.heads, config.headSize),
      (layer) => normPerUnit(fc1WeightGradient(input, layer), shape.neurons, config.width),
    )
  },
}
