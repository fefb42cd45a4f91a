/**
 * plainact, the criterion of ShadowLLM (arXiv 2406.16635): how much the loss would change, to first order, if a unit were
 * multiplied by zero. With g the derivative of the loss in the same place:
 *
 *   head h:    score = Σ_t | Σ_i a[t, h, i] g[t, h, i] |     a = softmax(q kᵀ) v, before out
 *   neuron j:  score = Σ_t | a[t, j] g[t, j] |               a = relu(fc1(n))
 *
 * The released code (abdelfattah-lab/shadow_llm, lm_eval/base.py) does the same for heads. It scores neurons by their weights
 * instead, which is the saliency of SNIP (Lee et al. 2019):
 *
 *   neuron j:  score = Σ_i | W1[j, i] dW1[j, i] |            dW1 = (derivative before relu)ᵀ n
 *
 * The two differ: without the absolute values the second is Σ_t g (z − b1), where z = fc1(n) and g is its derivative. It
 * leaves out the bias b1, and tokens of opposite sign cancel in dW1. `src/criteria` has it as plainact-weight.
 *
 * Sums over a head are striped and sums over tokens sequential, in float32.
 */
import { dot } from '../ops/float32.ts'
import type { Tensor } from './arrays.ts'
import type { LayerActivations, LayerGradients, Units } from './model.ts'

/** plainact of every unit. @param H heads in a layer */
export function plainact(
  activations: readonly LayerActivations[],
  gradients: readonly LayerGradients[],
  H: number,
): Units {
  return {
    heads: activations.map(({ context }, l) => sensitivity(context, gradients[l].context, H)),
    neurons: activations.map(({ activation: a }, l) => sensitivity(a, gradients[l].activation, a.shape[1])),
  }
}

/** Scores [U] of units of K numbers. x, grad: [T, U K] */
function sensitivity(x: Tensor, grad: Tensor, U: number): Float32Array {
  const [T, width] = x.shape
  const K = width / U
  const scores = new Float32Array(U)
  for (let t = 0; t < T; t++)
    for (let u = 0; u < U; u++) {
      const at = t * width + u * K
      scores[u] += Math.abs(dot(x.data, at, grad.data, at, K))
    }
  return scores
}
