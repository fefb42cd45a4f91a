/**
 * Derivatives of the loss with respect to a mask, from a trace and its gradients: what laws hold criteria and slopes to.
 */
import type { Gradients } from '../../engine/backward.ts'
import type { Trace } from '../../engine/trace.ts'
import { dot } from '../../ops/float32.ts'

/** A trace, and the gradients of its loss. */
export interface TracedGradients {
  readonly trace: Trace
  readonly gradients: Gradients
}

/** d loss / d mask of each head, at the mask of the trace (1 if it had none): [H]. */
export function headMaskGradient({ trace, gradients }: TracedGradients, layer: number): Float32Array {
  const { heads, headSize } = trace.model.config
  return perUnit(trace.headOut(layer), gradients.maskedHeadOut(layer), heads, headSize)
}

/** d loss / d mask of each neuron, at the mask of the trace (1 if it had none): [F]. */
export function neuronMaskGradient({ trace, gradients }: TracedGradients, layer: number): Float32Array {
  const { neurons } = trace.model.config
  return perUnit(trace.fc1Act(layer), gradients.maskedFc1Act(layer), neurons, 1)
}

/** Sum over tokens of <a[t, u], g[t, u]>: striped over K, sequential over t. */
function perUnit(a: Float32Array, g: Float32Array, units: number, K: number): Float32Array {
  const sums = new Float32Array(units) // [U]
  for (let start = 0; start < a.length; start += units * K)
    for (let u = 0; u < units; u++) {
      const at = start + u * K
      sums[u] += K === 1 ? Math.fround(a[at] * g[at]) : dot(a, at, g, at, K)
    }
  return sums
}
