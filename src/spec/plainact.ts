/**
 * plainact, the criterion of ShadowLLM (arXiv 2406.16635): at most how much the loss would change, to first order, if a unit were
 * multiplied by zero. The change itself is the sum without the absolute values, in which tokens of opposite sign cancel. With g
 * the derivative of the loss in the same place:
 *
 *   head h:    score = Σ_t | Σ_i a[t, h, i] g[t, h, i] |     a = softmax(q kᵀ / √K) v, before out
 *   neuron j:  score = Σ_t | a[t, j] g[t, j] |               a = relu(fc1(n)), or silu(gate(n)) ⊙ up(n) in Llama
 *
 * The paper's figures name both by (A, dL/dA). Nothing is divided by the length of the text. In OPT the score of a neuron is
 * also Σ_t | z g_z |, with z = fc1(n) and g_z the derivative in z: where relu gives zero, g_z is zero, and elsewhere a = z,
 * g = g_z.
 *
 * The released code (abdelfattah-lab/shadow_llm at bdc5ad5, lm_eval/base.py:690) does the same for heads. It scores neurons
 * by their weights instead, which is the saliency of SNIP (Lee et al. 2019):
 *
 *   neuron j:  score = Σ_i | W1[j, i] dW1[j, i] |            dW1 = g_zᵀ n
 *
 * The two differ: without the absolute values the second is Σ_t g_z (z − b1). It leaves out the bias b1, and tokens of
 * opposite sign cancel in dW1. `src/criteria` has it as plainact-weight.
 *
 * Sums over a head are striped (`src/ops/float32.ts`) and sums over tokens sequential, in float32.
 */
import { dot } from '../ops/float32.ts'
import type { Tensor, Units } from './plain.ts'
import type { UnitOutputs } from './model.ts'

/** plainact of every unit, by the two formulas of `plainact.ts`. @param a [L] of a pass @param g [L] of its backward pass @param H heads in a layer */
export function plainact(a: readonly UnitOutputs[], g: readonly UnitOutputs[], H: number): Units {
  return {
    heads: a.map(({ context }, l) => sensitivity(context, g[l].context, H)),
    neurons: a.map(({ activation }, l) => sensitivity(activation, g[l].activation, activation.shape[1])),
  }
}

/** Scores [U] of units of K numbers: Σ_t | Σ_i a[t, u, i] g[t, u, i] |. a, g: [T, U K] */
function sensitivity(a: Tensor, g: Tensor, U: number): Float32Array {
  const [T, width] = a.shape
  const K = width / U
  const scores = new Float32Array(U)
  for (let t = 0; t < T; t++)
    for (let u = 0; u < U; u++) {
      const at = t * width + u * K
      scores[u] += Math.abs(dot(a.data, at, g.data, at, K))
    }
  return scores
}
