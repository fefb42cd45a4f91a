/**
 * The loss of a language model, as Hugging Face defines it: position t is scored by the logits of position t - 1, -100
 * is not scored, and the loss is the mean over what is scored.
 *
 * So position 0 is never scored, whatever its label. Means are sequential float32 sums, then one division.
 */
import type { Backend } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { UsageError } from '../tensor/errors.ts'

const { fround } = Math

/**
 * The target of each row of logits: the label of the next position; none for the last row.
 * @param labels [T], the token at each position, or -100 where it is not scored
 */
export function shiftLabels(labels: Int32Array): Int32Array {
  const shifted = new Int32Array(labels.length).fill(NOT_SCORED)
  shifted.set(labels.subarray(1))
  return shifted
}

/** How many positions of a sequence are scored. */
export function countScored(labels: Int32Array): number {
  let count = 0
  for (let t = 1; t < labels.length; t++) if (labels[t] !== NOT_SCORED) count++
  return count
}

/**
 * The loss of a text in nats, as Hugging Face has it: the mean of negative log-likelihoods over the positions that are scored.
 * @param nll of each position, 0 where it is not scored, in nats: [T]; `negativeLogLikelihood` gives it
 * @param scored how many positions are scored
 * @throws UsageError LABELS if nothing is scored
 */
export function meanLoss(nll: Float32Array, scored: number): number {
  if (scored < 1) throw new UsageError('LABELS', 'labels: expected at least one scored position, got none')
  let total = 0
  for (const value of nll) total = fround(total + value)
  return fround(total / scored)
}

/** Brings the scores of `shiftLabels` back to the positions they belong to. */
export function unshiftScores(scores: Float32Array): Float32Array {
  const nll = new Float32Array(scores.length)
  nll.set(scores.subarray(0, Math.max(0, scores.length - 1)), 1)
  return nll
}

/**
 * How unlikely each token of a text was to the model, from logits that are in memory: the negative log-likelihood of each label.
 * `meanLoss` is their mean.
 * @param logits [T, V]
 * @param labels [T], -100 for "not scored"
 * @returns nats [T]; 0 at position 0 and where not scored
 * @throws UsageError LABELS if the two do not belong together, INDEX_RANGE for a label outside the vocabulary
 * @specified `loss`
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { forwardBatch, meanLoss, negativeLogLikelihood } from 'shadowllm/model'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const ids = Int32Array.from(opt.encode('Once upon a time, there was a little girl', { prefix: true }))
 * const logits = forwardBatch(opt.model, ids, null, 1, ids.length) // [1, T, V]
 * const nll = negativeLogLikelihood(opt.model.backend, logits, ids)
 * console.log('perplexity', Math.exp(meanLoss(nll, ids.length - 1)))
 * await opt.dispose()
 * ```
 */
export function negativeLogLikelihood(
  backend: Backend,
  logits: Float32Array,
  labels: Int32Array,
): Float32Array {
  const T = labels.length
  const V = T === 0 ? 0 : logits.length / T
  if (!Number.isInteger(V) || V < 1)
    throw new UsageError(
      'LABELS',
      `labels: expected one per row of logits, got ${T} for ${logits.length} numbers`,
    )
  return BufferScope.within(backend, (scope) => {
    const scores = scope.allocate('f32', [T])
    backend.ops.cross_entropy(scores, scope.upload(logits, [T, V]), scope.upload(shiftLabels(labels)))
    return unshiftScores(backend.readF32(scores))
  })
}
