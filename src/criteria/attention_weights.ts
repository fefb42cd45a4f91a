/**
 * The attention weights of a traced pass, recomputed on the host from its queries and keys, because kernels do not store them.
 *
 * Sums are in float64, exponentials of ops/float32.ts; so the weights are those of the model up to the rounding of
 * float32, and the same bits on every engine.
 */
import type { Trace } from '../engine/trace.ts'
import { exp, tanh } from '../ops/float32.ts'
import { scoring } from '../spec/program.ts'
import { keyHeadOf } from '../ops/attention.ts'

/** Called with one query's weights over positions 0..t, 0 before its window; the array is reused for the next query. */
type VisitWeights = (head: number, t: number, weights: Float64Array) => void

/** Visits the attention weights of every query of a layer, head by head. */
export function eachAttention(trace: Trace, layer: number, visit: VisitWeights): void {
  const { heads: H, keyHeads: G } = trace.model.config
  const T = trace.length
  const { scale, cap, window, headSize: K } = scoring(trace.attention(layer), T)
  const queries = trace.query(layer) // [T, H, K]
  const keys = trace.key(layer) // [G, T, K]
  const buffer = new Float64Array(T)
  for (let h = 0; h < H; h++)
    for (let t = 0; t < T; t++) {
      const first = Math.max(0, t + 1 - window)
      const weights = buffer.subarray(0, t + 1).fill(0)
      const query = queries.subarray((t * H + h) * K, (t * H + h + 1) * K)
      for (let s = first, at = (keyHeadOf(null, h, G, H) * T + first) * K; s <= t; s++) {
        let score = 0
        for (let k = 0; k < K; k++) score += query[k] * keys[at++]
        weights[s] = capped(score * scale, cap)
      }
      normalise(weights.subarray(first))
      visit(h, t, weights)
    }
}

function capped(score: number, cap: number): number {
  return cap > 0 ? cap * tanh(Math.fround(score / cap)) : score
}

/** Softmax in place. */
function normalise(scores: Float64Array): void {
  let largest = -Infinity
  for (const score of scores) largest = Math.max(largest, score)
  let total = 0
  for (let s = 0; s < scores.length; s++) total += scores[s] = exp(Math.fround(scores[s] - largest))
  for (let s = 0; s < scores.length; s++) scores[s] /= total
}
