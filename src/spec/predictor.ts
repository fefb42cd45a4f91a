/**
 * The predictor of ShadowLLM (arXiv 2406.16635): one look at the prompt, and a score for every unit of every later layer.
 *
 *   c = context of layer 0 at the last token of the prompt                [H K], before out
 *   f = scale(c)
 *   scores = relu(f W1ᵀ + b1) W2ᵀ + b2                                    [(L − 1) U], one network per kind of unit
 *
 * That takes H K R + R (L − 1) U multiplications. A network for each layer, as in DejaVu, takes (L − 1) (D R + R U), and runs for
 * every token. That one look suffices is the claim of the paper: which units matter depends on the text as a whole, and the
 * attention of an early layer has seen all of it. `reproduce --experiment two-by-two` compares one network with many.
 *
 * It learns y, the scores s of the whole text under the loss of what followed the prompt. Here y = s, and layer 0, which has run
 * when the predictor is asked, has no outputs and no targets:
 *
 *   f = (c − mean c) / √(var c + 10⁻⁵)                `standard`; mean and variance over the H K numbers of this one c
 *
 * The released code (abdelfattah-lab/shadow_llm at bdc5ad5,
 * emnlp_activation_predictor.py for heads, emnlp_activation_ffn_predictor.py for neurons):
 *
 *   f = (c − min c) / (max c − min c)                 `min_max`; c at the last token of all input, the answer included
 *   y = (s − min s) / (max s − min s) in each layer   `per_layer`; "predictorL", what the paper's plots call ShadowLLM
 *   y = (s − min s) / (max s − min s) over all layers `global`; "predictor"
 *
 * It predicts layer 0 too. It drops an example with a row of equal numbers, which gives y = 0 here.
 */
import { min_max } from '../ops/min_max.ts'
import { layerNorm, matrix, rectify, result, tensor, zeros, type Tensor, type Units } from './plain.ts'
import type { UnitKind } from './program.ts'

/** Two linear layers: W1 [R, H K], b1 [R], W2 [O, R], b2 [O]; O = (L − 1) U. */
export type Network = readonly Tensor[]

/** `standard`: to mean 0 and variance 1 within a prompt. `min_max`: to 0 and 1. */
export type FeatureScaling = 'standard' | 'min_max'
/** `raw`: as they are. `per_layer` and `global`: to 0 and 1 within a layer or over all of them. */
export type TargetScaling = 'raw' | 'per_layer' | 'global'

/** A predictor: a network for heads and one for neurons. */
export interface Predictor extends Readonly<Record<UnitKind, Network>> {
  readonly features: FeatureScaling
}

/** What the predictor reads of a prompt: f [1, H K]. @param context of layer 0, [T, H K] */
export function features(context: Tensor, scaling: FeatureScaling): Tensor {
  const [T, D] = context.shape
  const last = tensor(context.data.slice((T - 1) * D), 1, D)
  if (scaling === 'min_max') return minMax(last)
  return layerNorm(last, tensor(new Float32Array(D).fill(1), D), zeros(D))
}

/** What the network of one kind of unit learns: y [(L - 1) U]. @param scores [L] of [U] */
export function targets([, ...later]: readonly Float32Array[], scaling: TargetScaling): Float32Array {
  const flat = Float32Array.from(later.flatMap((layer) => [...layer]))
  if (scaling === 'raw' || flat.length === 0) return flat
  const rows = scaling === 'per_layer' ? later.length : 1
  return minMax(tensor(flat, rows, flat.length / rows)).data
}

/** Each row of x [T, D] to 0 and 1. */
function minMax(x: Tensor): Tensor {
  const [T, D] = x.shape
  return result(x.shape, (y) => min_max(y, x.data, T, D))
}

/** y [B, O] of f [B, D], and the values between: [B, R]. */
export function run([W1, b1, W2, b2]: Network, f: Tensor) {
  const hidden = matrix(W1).dots(f, b1)
  const active = rectify(hidden)
  return { hidden, active, y: matrix(W2).dots(active, b2) }
}

/**
 * A score for every unit of a model with H heads and F neurons in a layer. Those of layer 0 are zeros. Layer 0 is dense whatever
 * they are, but under the paper-compatible policy they take part in the ranking.
 */
export function predict(predictor: Predictor, context: Tensor, H: number, F: number): Units {
  const f = features(context, predictor.features)
  const byLayer = (network: Network, U: number): Float32Array[] => {
    const scores = run(network, f).y.data
    const layers = Array.from({ length: scores.length / U }, (_, l) => scores.slice(l * U, (l + 1) * U))
    return [new Float32Array(U), ...layers]
  }
  return { heads: byLayer(predictor.heads, H), neurons: byLayer(predictor.neurons, F) }
}
