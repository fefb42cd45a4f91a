/**
 * attention_i8: attention over keys and values held as int8, each row with a scale of its own (cache_append_i8).
 *
 * New token t stands at position p = S - T + t and sees the W positions up to its own, first..p (attention.ts):
 *   query     = step * q, q the scaled query[t, h] as int16                     quantized_steps.ts
 *   score[s]  = (step * key_scales[h, s]) * <q, key[h, s]>                      the inner product is an exact int32
 *   e[s]      = exp(score[s] - max score[first..p])                             float32; their sum is striped
 *   factor[s] = e[s] * value_scales[h, s]                                       float32
 *   y[t, h]   = (sum over blocks of step * <q, value[h, block]>) / sum e        q the block's factors as int16
 * and +0 for heads that are not chosen; their keys, values and scales are never read. Head h reads key head g, which is
 * its own or that of its group (attention.ts); key[h, s] means key[g, s]. Scores are capped as there, in float32. A block is 64
 * positions from a multiple of 64 on, or what the token sees of them. Its sums are exact in int32 too; each is rounded to float32, multiplied by
 * the block's step and added, in order of the blocks from +0. A query with NaN or an infinity in it, and a row whose scale
 * is NaN, give NaN.
 *
 * Rounding moves a factor by half a step, 1/65534 of the largest of its block, and a query's number likewise: a weight
 * that is small beside its neighbour's keeps fewer digits, and y is off by at most
 * 1/65534 * sum over blocks of (largest factor * sum over its positions of |value|) / sum e, beside float32's own errors.
 */
import { capScores, keyHeadOf } from './attention.ts'
import { integerDot, quantizeSteps } from './quantized_steps.ts'
import { exponentials } from './softmax.ts'

const { fround, max, min } = Math

/** Positions whose values are added as whole numbers: few enough that int16 factors keep all their levels. */
export const VALUE_BLOCK = 64

/** Context vectors softmax(q kᵀ) v of chosen heads. */
export function attention_i8(
  y: Float32Array, // [T, H, K]
  query: Float32Array, // [T, H, K]
  key: Int8Array, // [G, C, K]
  key_scales: Float32Array, // [G, C]
  value: Int8Array, // [G, C, K]
  value_scales: Float32Array, // [G, C]
  heads: Int32Array | null, // [R], ascending, below H
  key_heads: Int32Array | null, // [H], below G
  scale: number,
  cap: number,
  T: number,
  S: number,
  W: number,
  C: number,
  H: number,
  G: number,
  K: number,
  R: number,
): void {
  const count = heads ? R : H
  const scaled = new Float32Array(K)
  const q = new Int16Array(K)
  const factors = new Float32Array(S)
  const numbers = new Int16Array(VALUE_BLOCK)
  y.fill(0, 0, T * H * K)
  for (let r = 0; r < count; r++) {
    const h = heads ? heads[r] : r
    const start = keyHeadOf(key_heads, h, G, H) * C
    for (let t = 0; t < T; t++) {
      const end = S - T + t + 1
      const seen = max(0, end - W)
      const row = (t * H + h) * K
      for (let k = 0; k < K; k++) scaled[k] = query[row + k] * fround(scale)
      const step = quantizeSteps(q, scaled)
      for (let s = seen; s < end; s++) {
        const place = start + s
        const sum = integerDot(q, key.subarray(place * K, (place + 1) * K))
        factors[s] = fround(step * key_scales[place]) * fround(sum)
      }
      capScores(factors, seen, end, cap)
      const { total } = exponentials(factors, seen, factors, seen, end - seen)
      for (let s = seen; s < end; s++) factors[s] *= value_scales[start + s]
      for (let first = seen, next = 0; first < end; first = next) {
        next = min(first - (first % VALUE_BLOCK) + VALUE_BLOCK, end)
        const block = factors.subarray(first, next)
        const blockStep = quantizeSteps(numbers, block)
        for (let k = 0; k < K; k++) {
          let sum = 0
          for (let s = 0; s < block.length; s++) sum += numbers[s] * value[(start + first + s) * K + k]
          y[row + k] += fround(blockStep * fround(sum))
        }
      }
      for (let k = 0; k < K; k++) y[row + k] /= total
    }
  }
}
