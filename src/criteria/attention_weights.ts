/**
 * The attention weights of a traced pass, recomputed on the host from its queries and keys with the steps of the
 * attention op, so that weights times values are its output bit for bit.
 */
import { attentionScale } from '../model/opt/forward.ts'
import type { Trace } from '../model/opt/trace.ts'
import { dot } from '../ops/float32.ts'
import { exponentials } from '../ops/softmax.ts'

/** Called with one query's weights over positions 0..t; the array is used again for the next query. */
export type VisitWeights = (head: number, t: number, weights: Float32Array) => void

/** Visits the attention weights of every query of a layer, head by head. */
export function eachAttention(trace: Trace, layer: number, visit: VisitWeights): void {
  const { heads: H, headSize: K } = trace.model.config
  const T = trace.length
  const scale = Math.fround(attentionScale(trace.model.config))
  const query = trace.query(layer) // [T, H, K]
  const key = trace.key(layer) // [H, T, K]
  const scaled = new Float32Array(K)
  const room = new Float32Array(T)
  for (let h = 0; h < H; h++)
    for (let t = 0; t < T; t++) {
      const weights = room.subarray(0, t + 1)
      for (let k = 0; k < K; k++) scaled[k] = query[(t * H + h) * K + k] * scale
      for (let s = 0; s <= t; s++) weights[s] = dot(scaled, 0, key, (h * T + s) * K, K)
      const { total } = exponentials(weights, 0, weights, 0, t + 1)
      for (let s = 0; s <= t; s++) weights[s] /= total
      visit(h, t, weights)
    }
}
