/**
 * attention_i8: attention over keys and values held as int8, each row with a scale of its own (cache_append_i8).
 *
 * New token t stands at position p = S - T + t and sees positions 0..p:
 *   query      = step * q, q the scaled query[t, h] as int16                   quantized_steps.ts
 *   score[s]   = (step * key_scales[h, s]) * <q, key[h, s]>                    the inner product is an exact int32
 *   weight     = softmax(score[0..p])                                          float32, striped sum
 *   y[t, h]    = sum over s of (weight[s] * value_scales[h, s]) * value[h, s]  float32, sequential in s, starting at +0
 * and +0 for heads that are not chosen; their keys, values and scales are never read. A query with NaN or an infinity in
 * it, and a row whose scale is NaN, give NaN.
 */
import { LONGEST_CONTEXT } from './attention.ts'
import { chosen, defineOp, input, output, scalar, size, type Op } from './op.ts'
import { integerDot, quantizeSteps } from './quantized_steps.ts'
import { chain, sequential } from './relaxed.ts'
import { exponentials } from './softmax.ts'

const { fround } = Math

/** Context vectors softmax(q kᵀ) v of chosen heads. */
export function attention_i8(
  y: Float32Array, // [T, H, K]
  query: Float32Array, // [T, H, K]
  key: Int8Array, // [H, C, K]
  key_scales: Float32Array, // [H, C]
  value: Int8Array, // [H, C, K]
  value_scales: Float32Array, // [H, C]
  heads: Int32Array | null, // [R], ascending, below H
  scale: number,
  T: number,
  S: number,
  C: number,
  H: number,
  K: number,
  R: number,
): void {
  const count = heads ? R : H
  const scaled = new Float32Array(K)
  const q = new Int16Array(K)
  const weights = new Float32Array(S)
  y.fill(0, 0, T * H * K)
  for (let r = 0; r < count; r++) {
    const h = heads ? heads[r] : r
    for (let t = 0; t < T; t++) {
      const visible = S - T + t + 1
      const row = (t * H + h) * K
      for (let k = 0; k < K; k++) scaled[k] = query[row + k] * fround(scale)
      const step = quantizeSteps(q, scaled)
      for (let s = 0; s < visible; s++) {
        const place = h * C + s
        const sum = integerDot(q, key.subarray(place * K, (place + 1) * K))
        weights[s] = fround(step * key_scales[place]) * fround(sum)
      }
      const { total } = exponentials(weights, 0, weights, 0, visible)
      for (let s = 0; s < visible; s++) {
        const factor = fround(fround(weights[s] / total) * value_scales[h * C + s])
        for (let k = 0; k < K; k++) y[row + k] += fround(factor * value[(h * C + s) * K + k])
      }
    }
  }
}

/** Catalogue row. */
export const attentionI8Op: Op<Parameters<typeof attention_i8>> = defineOp({
  name: 'attention_i8',
  formula:
    'y[t,h] = sum over s <= p of softmax(<query[t,h] scale, key[h,s] key_scales[h,s]>) value[h,s] value_scales[h,s] for chosen heads, else 0; the query as int16',
  params: [
    output('y', 'T H K'),
    input('query', 'T H K'),
    input('key', 'H C K', { dtype: 'i8' }),
    input('key_scales', 'H C'),
    input('value', 'H C K', { dtype: 'i8' }),
    input('value_scales', 'H C'),
    chosen('heads', 'R', 'H'),
    scalar('scale', 0.05, 1),
    size('T'),
    size('S', 'T', LONGEST_CONTEXT),
    size('C', 'S'),
    size('H'),
    size('K'),
    size('R'),
  ],
  reference: attention_i8,
  // The weights have equal bits: their inner products are exact.
  relaxed: chain(({ S }) => sequential(S), 'value value_scales'),
  flops: ({ T, S, R, K }) => T * (S - (T - 1) / 2) * R * (4 * K + 30),
  bytes: ({ T, S, H, K, R }) => 8 * T * H * K + 2 * R * S * (K + 4),
})
