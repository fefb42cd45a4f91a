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
 * The two differ: without the absolute values the second is Σ_t g z (z − b1)/z, so it leaves out the bias b1, and tokens of
 * opposite sign cancel in dW1. Sums over a head are striped and sums over tokens sequential, in float32.
 */
import { dot } from '../ops/float32.ts'
import { linear_backward_weight } from '../ops/linear_backward.ts'
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
    neurons: activations.map(({ activation }, l) =>
      sensitivity(activation, gradients[l].activation, activation.shape[1]),
    ),
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
      const term = K === 1 ? Math.fround(x.data[at] * grad.data[at]) : dot(x.data, at, grad.data, at, K)
      scores[u] += Math.abs(term)
    }
  return scores
}

/** The released code's scores [F] of the neurons of a layer. n: [T, D], what fc1 reads; fc1: [F, D], float32 */
export function plainactWeight(n: Tensor, { preActivation }: LayerGradients, fc1: Tensor): Float32Array {
  const [F, D] = fc1.shape
  const grad = new Float32Array(F * D)
  linear_backward_weight(grad, preActivation.data, n.data, null, n.shape[0], F, D, F)
  return Float32Array.from({ length: F }, (_, j) => {
    let total = 0
    for (let i = j * D; i < (j + 1) * D; i++) total += Math.abs(fc1.data[i] * grad[i])
    return total
  })
}
