/**
 * Bounds of attention and its gradients on relaxed backends, and of attention on fast backends (relaxed.ts defines bounds and
 * magnitudes).
 *
 * A score is an inner product in which a term is rounded at most `striped(K)` times. Two computations of a score therefore differ
 * by at most 2 striped(K) 2^-24 |score|, where |score| is the sum of its absolute terms. A is the largest |score| of a query.
 * A weight is e^score over the sum of these powers. The logarithm of a weight therefore moves by at most twice the difference of
 * the scores, by the rounding of the shifted scores (of at most 2 A) in the numerator and the denominator, and by that of a cap,
 * which brings no two scores further apart and rounds each by at most 8 units:
 *
 *   | log(weight' / weight) | <= (4 striped(K) + 40) 2^-24 A
 *
 * A weight is also rounded by e^x (4 units, in the numerator and the denominator of both computations), by the sum and by the
 * quotient. All of this together is, to the first order, a multiple of 2^-24 of (1 + A) weight; in general it is that multiple
 * of (1 + (e^(c A) - 1) / c) weight, where c is the bound.
 * Weighted values are added one after the other. For sums in any order `sequential` takes the place of `striped`. The bound grows
 * exponentially with the scores. No better one holds: a large score alone decides which value is taken.
 */
import { keyHeadOf, type attention, type attention_backward } from './attention.ts'
import type { Relaxed, Sizes } from './op.ts'
import { productSize, ROUNDING, sequential, striped, TINY } from './relaxed.ts'

const { abs, expm1, min } = Math

/** The most roundings of a term in a sum of `length` products. */
type Order = (length: number) => number

/** Roundings of a weight over S positions and of the sum of weighted values, including the roundings of the scores. */
function attentionBound({ S, K }: Sizes, order: Order = striped): number {
  return 4 * order(K) + 40 + 2 * order(S) + 18 + 2 * sequential(S)
}

/** A query, and the keys of its head. */
interface Query {
  readonly query: Float32Array // [K] from `at` on
  readonly at: number
  readonly key: Float32Array // [visible, K] from `keyAt` on
  readonly keyAt: number
  readonly scale: number
  readonly cap: number
  readonly visible: number
  readonly K: number
}

/** The largest |score| A of a query, and its weights in float64, each times 1 + (e^(c A) - 1) / c, the factor of the head of this file. */
function weightsOf(
  { query, at, key, keyAt, scale, cap, visible, K }: Query,
  bound: number,
): { weights: Float64Array; most: number } {
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
  if (cap > 0) for (let s = 0; s < visible; s++) scores[s] = cap * Math.tanh(scores[s] / cap)
  const highest = Math.max(...scores)
  const powers = scores.map((score) => Math.exp(score - highest))
  const total = powers.reduce((sum, power) => sum + power, 0)
  const c = bound * ROUNDING
  return { weights: powers.map((power) => (power / total + TINY) * (1 + expm1(c * most) / c)), most }
}

/** For each output: the sum of weight |value| over the visible positions. */
const attentionMagnitude =
  (order: Order): typeof attention =>
  (y, query, key, value, heads, key_heads, scale, cap, T, S, W, C, H, G, K, R) => {
    y.fill(0, 0, T * H * K)
    const bound = attentionBound({ S, K }, order)
    for (let r = 0; r < (heads ? R : H); r++) {
      const h = heads ? heads[r] : r
      const start = keyHeadOf(key_heads, h, G, H) * C
      for (let t = 0; t < T; t++) {
        const at = (t * H + h) * K
        const end = S - T + t + 1
        const visible = min(end, W)
        const keyAt = (start + end - visible) * K
        const { weights } = weightsOf({ query, at, key, keyAt, scale, cap, visible, K }, bound)
        for (let k = 0; k < K; k++)
          y[at + k] = weights.reduce(
            (sum, weight, s) => sum + productSize(weight, abs(value[keyAt + s * K + k])),
            0,
          )
      }
    }
  }

/** attention. */
export const attentionRelaxed: Relaxed<Parameters<typeof attention>> = {
  bound: (sizes) => attentionBound(sizes),
  magnitude: attentionMagnitude(striped),
}

/** attention with sums in any order. */
export const attentionFast: Relaxed<Parameters<typeof attention>> = {
  bound: (sizes) => attentionBound(sizes, sequential),
  magnitude: attentionMagnitude(sequential),
}

/**
 * The gradient of a score is weight (w_grad - mean), where |w_grad| is at most B = max over s of sum |y_grad value[s]|. The error
 * of the weight enters three times: in the factor, in the mean, and in the product. Under a cap it is multiplied by 1 - tanh^2, at
 * most 1, which is off by twice what a score is, over the cap. To it come the roundings of w_grad (twice
 * striped(K), and as much in the mean), of the mean, and of their difference and product. All of them are relative to B.
 */
function attentionBackwardBound({ T, H, G, K }: Sizes): number {
  const products = 4 * striped(K) + 2 * striped(T) + 8
  // A key head adds up T terms of each of its heads.
  const sharing = Math.ceil(H / G)
  return 3 * attentionBound({ S: T, K }) + products + 4 * sequential(sharing * T) + 4
}

/** For each gradient: the sum of its absolute terms, with weight B for the gradient of a score. */
const attentionBackwardMagnitude: typeof attention_backward = (
  query_grad,
  key_grad,
  value_grad,
  y_grad,
  query,
  key,
  value,
  scale,
  cap,
  T,
  W,
  C,
  H,
  G,
  K,
) => {
  query_grad.fill(0, 0, T * H * K)
  for (const grad of [key_grad, value_grad]) grad.fill(0, 0, T * G * K)
  for (let h = 0; h < H; h++) {
    const g = keyHeadOf(null, h, G, H)
    for (let t = 0; t < T; t++) {
      const at = (t * H + h) * K
      const visible = min(t + 1, W)
      const first = t + 1 - visible
      const keyAt = (g * C + first) * K
      const bound = attentionBound({ S: T, K })
      const own = weightsOf({ query, at, key, keyAt, scale, cap, visible, K }, bound)
      const { weights } = own
      const sizeOf = (s: number): number => {
        let size = 0
        for (let k = 0; k < K; k++) size += productSize(abs(y_grad[at + k]), abs(value[keyAt + s * K + k]))
        return size
      }
      const most = Math.max(...Array.from(weights.keys(), sizeOf))
      for (const [s, weight] of weights.entries()) {
        const scoreGrad = productSize(weight, most) * (cap > 0 ? 1 + own.most / cap : 1)
        for (let k = 0; k < K; k++) {
          const past = ((first + s) * G + g) * K + k
          query_grad[at + k] += productSize(scoreGrad, productSize(abs(scale), abs(key[keyAt + s * K + k])))
          value_grad[past] += productSize(weight, abs(y_grad[at + k]))
          key_grad[past] += productSize(scoreGrad, productSize(abs(scale), abs(query[at + k])))
        }
      }
    }
  }
}

/** attention_backward. */
export const attentionBackwardRelaxed: Relaxed<Parameters<typeof attention_backward>> = {
  bound: attentionBackwardBound,
  magnitude: attentionBackwardMagnitude,
}
