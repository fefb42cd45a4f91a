/**
 * What a relaxed backend may differ by in attention and its gradients, and a fast one in attention (relaxed.ts says what
 * that means).
 *
 * A score is an inner product of `striped(K)` roundings, so two of them are within 2 striped(K) 2^-24 |score| of each other,
 * with |score| the sum of its terms' sizes, at most A for one query. A weight is e^score over a sum of such, so its
 * logarithm moves by twice that, and by what the shifted scores (of at most 2 A) are rounded by, above and below the line:
 *
 *   | log(weight' / weight) | <= (4 striped(K) + 8) 2^-24 A
 *
 * and each weight is rounded by e^x (4 units, above and below the line, twice), by its sum and by the quotient. To the
 * first order all that is a multiple of 2^-24 of (1 + A) weight; past it of (1 + (e^(c A) - 1) / c) weight, c the bound.
 * Sums of weighted values are chains. In any order of additions the same holds with `sequential` in the place of
 * `striped`. A bound that is exponential in the scores promises little where they are large, and
 * nothing better is true: there one score decides which value is taken.
 */
import { keyHeadOf } from './attention.ts'
import type { Relaxed, Sizes } from './op.ts'
import { productSize, ROUNDING, sequential, striped, TINY } from './relaxed.ts'

const { abs, expm1 } = Math

/** Roundings of a term of a sum of so many products. */
type Order = (length: number) => number

/** Roundings of a weight over S positions and of the sum of weighted values, the scores' included. */
function attentionBound({ S, K }: Sizes, order: Order = striped): number {
  return 4 * order(K) + 8 + 2 * order(S) + 18 + 2 * sequential(S)
}

/** A query, and the keys of its head. */
interface Query {
  readonly query: Float32Array // [K] from `at` on
  readonly at: number
  readonly key: Float32Array // [visible, K] from `keyAt` on
  readonly keyAt: number
  readonly scale: number
  readonly visible: number
  readonly K: number
}

/** The weights of a query, in float64, each times what a part of it may differ by: 1 + (e^(c A) - 1) / c. */
function weightsOf({ query, at, key, keyAt, scale, visible, K }: Query, bound: number): Float64Array {
  const scores = new Float64Array(visible)
  let most = 0
  for (let s = 0; s < visible; s++) {
    let size = 0
    for (let k = 0; k < K; k++) {
      const term = query[at + k] * scale * key[keyAt + s * K + k]
      scores[s] += term
      size += abs(term)
    }
    most = Math.max(most, size)
  }
  const highest = Math.max(...scores)
  const powers = scores.map((score) => Math.exp(score - highest))
  const total = powers.reduce((sum, power) => sum + power, 0)
  const c = bound * ROUNDING
  return powers.map((power) => (power / total + TINY) * (1 + expm1(c * most) / c))
}

/** Of each output: the sum over what it sees of weight |value|. */
function attentionMagnitude(
  y: Float32Array, // [T, H, K]
  query: Float32Array, // [T, H, K]
  key: Float32Array, // [G, C, K]
  value: Float32Array, // [G, C, K]
  heads: Int32Array | null, // [R]
  key_heads: Int32Array | null, // [H]
  scale: number,
  T: number,
  S: number,
  C: number,
  H: number,
  G: number,
  K: number,
  R: number,
  order: Order = striped,
): void {
  y.fill(0, 0, T * H * K)
  const bound = attentionBound({ S, K }, order)
  for (let r = 0; r < (heads ? R : H); r++) {
    const h = heads ? heads[r] : r
    const keyAt = keyHeadOf(key_heads, h, G, H) * C * K
    for (let t = 0; t < T; t++) {
      const at = (t * H + h) * K
      const visible = S - T + t + 1
      const weights = weightsOf({ query, at, key, keyAt, scale, visible, K }, bound)
      for (let k = 0; k < K; k++)
        y[at + k] = weights.reduce(
          (sum, weight, s) => sum + productSize(weight, abs(value[keyAt + s * K + k])),
          0,
        )
    }
  }
}

/** The arguments of the definition. */
type Arguments = Parameters<typeof attentionMagnitude> extends [...infer Args, order?: Order] ? Args : never

/** attention. */
export const attentionRelaxed: Relaxed<Arguments> = {
  bound: (sizes) => attentionBound(sizes),
  magnitude: (...args) => attentionMagnitude(...args),
}

/** attention, its sums in any order. */
export const attentionFast: Relaxed<Arguments> = {
  bound: (sizes) => attentionBound(sizes, sequential),
  magnitude: (...args) => attentionMagnitude(...args, sequential),
}

/**
 * A score's gradient is weight (w_grad - mean), with w_grad of at most B = max over s of sum |y_grad value[s]|: it moves by
 * what the weight does in itself, in the mean and before it, 3 times, and by the roundings of w_grad (twice striped(K), and
 * as much in the mean), of the mean and of what is made of both. B is the size that all this is relative to.
 */
function attentionBackwardBound({ T, H, G, K }: Sizes): number {
  const products = 4 * striped(K) + 2 * striped(T) + 8
  // A key head adds up T terms of each of its heads.
  const sharing = Math.ceil(H / G)
  return 3 * attentionBound({ S: T, K }) + products + 4 * sequential(sharing * T) + 4
}

/** Of each gradient: the sum of its terms' sizes, a score's gradient taken as weight B. */
function attentionBackwardMagnitude(
  query_grad: Float32Array, // [T, H, K]
  key_grad: Float32Array, // [T, G, K]
  value_grad: Float32Array, // [T, G, K]
  y_grad: Float32Array, // [T, H, K]
  query: Float32Array, // [T, H, K]
  key: Float32Array, // [G, C, K]
  value: Float32Array, // [G, C, K]
  scale: number,
  T: number,
  C: number,
  H: number,
  G: number,
  K: number,
): void {
  query_grad.fill(0, 0, T * H * K)
  for (const grad of [key_grad, value_grad]) grad.fill(0, 0, T * G * K)
  for (let h = 0; h < H; h++) {
    const g = keyHeadOf(null, h, G, H)
    const keyAt = g * C * K
    for (let t = 0; t < T; t++) {
      const at = (t * H + h) * K
      const visible = t + 1
      const bound = attentionBound({ S: T, K })
      const weights = weightsOf({ query, at, key, keyAt, scale, visible, K }, bound)
      const sizeOf = (s: number): number => {
        let size = 0
        for (let k = 0; k < K; k++) size += productSize(abs(y_grad[at + k]), abs(value[keyAt + s * K + k]))
        return size
      }
      const most = Math.max(...Array.from(weights.keys(), sizeOf))
      for (const [s, weight] of weights.entries()) {
        const scoreGrad = productSize(weight, most)
        for (let k = 0; k < K; k++) {
          const past = (s * G + g) * K + k
          query_grad[at + k] += productSize(scoreGrad, productSize(abs(scale), abs(key[keyAt + s * K + k])))
          value_grad[past] += productSize(weight, abs(y_grad[at + k]))
          key_grad[past] += productSize(scoreGrad, productSize(abs(scale), abs(query[at + k])))
        }
      }
    }
  }
}

/** attention_backward. */
export const attentionBackwardRelaxed: Relaxed<Parameters<typeof attentionBackwardMagnitude>> = {
  bound: attentionBackwardBound,
  magnitude: attentionBackwardMagnitude,
}
