/**
 * nwot: the diversity of a unit's activation patterns over the tokens (NASWOT: Mellor et al. 2021, "Neural Architecture
 * Search without Training"), for one unit over the tokens of an example.
 *
 *   score = ln det( I + K_H )     K_H[s, t] = K - (number of channels whose signs differ between tokens s and t)
 *
 * over the signs of a head's K channels, or of a neuron before its activation function, a sign being "above 0". For one
 * channel with n tokens above and N - n not, K_H is two blocks of ones, so the score is ln(1 + n) + ln(1 + N - n). It is
 * highest if half of the tokens fire, and lowest if all or none do. NASWOT compares the examples of a batch over all ReLUs
 * of a network and needs no I. Over the few channels of one unit K_H is singular, so I is added.
 *
 * K_H = X Xᵀ with X = [signs, 1 - signs] of N rows and 2K columns, so the determinant is that of I + Xᵀ X, of 2K rows.
 *
 * The released code of ShadowLLM has ln of the number of elements at or below 0 for heads, and of their share for
 * neurons: the determinant of a matrix of one example, its co-active term commented out.
 */
import { log } from '../ops/float32.ts'
import { cholesky, logDeterminant } from './cholesky.ts'
import type { Criterion } from './criterion.ts'
import { scoreLayers, sumPerUnit } from './unit_scores.ts'

/** I + Xᵀ X of one head: [2K, 2K]. */
function coincidences(values: Float32Array, start: number, stride: number, K: number): Float64Array {
  const N = 2 * K
  const matrix = new Float64Array(N * N)
  for (let i = 0; i < N; i++) matrix[i * N + i] = 1
  const on = new Int32Array(K) // of each channel, the column of X that is 1
  for (let at = start; at < values.length; at += stride) {
    for (let k = 0; k < K; k++) on[k] = values[at + k] > 0 ? k : K + k
    for (const row of on) for (const column of on) matrix[row * N + column]++
  }
  return matrix
}

/** The score of each head of a layer: [H]. */
function scoreHeads(values: Float32Array, heads: number, K: number): Float64Array {
  return Float64Array.from({ length: heads }, (_, head) =>
    logDeterminant(cholesky(coincidences(values, head * K, heads * K, K), 2 * K), 2 * K),
  )
}

/** The score of each neuron of a layer: [F]. */
function scoreNeurons(values: Float32Array, neurons: number): Float64Array {
  const T = values.length / neurons
  return sumPerUnit(values.length, neurons, 1, (i) => (values[i] > 0 ? 1 : 0)).map(
    (on) => log(1 + on) + log(1 + T - on),
  )
}

/** The log-determinant of the kernel of activation patterns. */
export const nwot: Criterion = {
  name: 'nwot',
  help: 'How differently the unit behaves from token to token: highest if half of them switch it on.',
  formula:
    'ln det(I + K_H), K_H the Hamming kernel of signs over tokens; neuron: ln(1 + n_on) + ln(1 + n_off)',
  cost: { forward: 0, backward: 0 },
  score: ({ model, trace }) => {
    const { shape, config } = model
    return scoreLayers(
      shape,
      (layer) => scoreHeads(trace.headOut(layer), shape.heads, config.headSize),
      (layer) => scoreNeurons(trace.fc1Pre(layer), shape.neurons),
    )
  },
}
