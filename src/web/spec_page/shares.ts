/**
 * Probabilities of next tokens, as they are shown.
 */
import { softmax } from '../../ops/softmax.ts'

/** The softmax of logits [V]. It is that of the project, because engines of JavaScript differ in the last bit of `Math.exp`. */
export function sharesOf(logits: Float32Array): Float32Array {
  const shares = new Float32Array(logits.length)
  softmax(shares, logits, 1, logits.length)
  return shares
}
