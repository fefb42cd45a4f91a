/**
 * Laws of sequences (design law 5): time runs one way, and nobody else is in the room.
 */
import { forwardBatch } from '../../engine/batch.ts'
import { negativeLogLikelihood, shiftLabels, unshiftScores } from '../../engine/loss.ts'
import { traceForward } from '../../engine/trace.ts'
import { sameBits } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { anyModel, anySequence, feedOnce, forAll, maskOf, tokensOf, withModel } from './cases.ts'

export const sequenceLaws = {
  noFuture: forAll(
    'later tokens cannot change earlier logits, bit for bit',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const mask = data.chance(0.5) ? maskOf(model, data) : null
        const kept = data.integer(1, tokens.length)
        const other = tokens.map((id, t) => (t < kept ? id : data.below(model.vocabulary)))
        const upTo = kept * model.vocabulary
        const logits = feedOnce(loaded, tokens, { mask }).subarray(0, upTo)
        sameBits('another future', feedOnce(loaded, other, { mask }).subarray(0, upTo), logits)
        sameBits('no future', feedOnce(loaded, tokens.slice(0, kept), { mask }), logits)
      }),
  ),

  cachedIsFull: forAll(
    'feeding a text in any parts = feeding it at once, bit for bit, wherever the cache has to grow',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const mask = data.chance(0.5) ? maskOf(model, data) : null
        const V = model.vocabulary
        const full = feedOnce(loaded, tokens, { mask })
        const sequence = loaded.begin({ mask, capacity: data.integer(1, 3) })
        try {
          while (sequence.length < tokens.length) {
            const start = sequence.length
            const end = data.integer(start + 1, Math.min(tokens.length, start + 4))
            const wanted = data.pick(['all', 'last', 'none'] as const)
            const part = sequence.feed(tokens.slice(start, end), wanted)
            const from = wanted === 'all' ? start : wanted === 'last' ? end - 1 : end
            sameBits(`tokens ${start} to ${end}`, part, full.subarray(from * V, end * V))
          }
        } finally {
          sequence.dispose()
        }
      }),
  ),

  alone: forAll(
    'a sequence gets the same bits alone and in a batch, padded left, right or both; padding gets 0',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const V = model.vocabulary
        const sequences = Array.from({ length: data.integer(1, 4) }, () => tokensOf(model, data))
        const masks = sequences.map(() => (data.chance(0.5) ? maskOf(model, data) : null))
        const B = sequences.length
        const T = data.integer(0, 3) + Math.max(...sequences.map(({ length }) => length))
        const ids = new Int32Array(B * T).fill(1)
        const attention = new Int32Array(B * T)
        const expected = new Float32Array(B * T * V)
        sequences.forEach((tokens, row) => {
          const start = row * T + data.integer(0, T - tokens.length)
          ids.set(tokens, start)
          attention.fill(1, start, start + tokens.length)
          expected.set(feedOnce(loaded, tokens, { mask: masks[row] }), start * V)
        })
        sameBits('batch', forwardBatch(loaded, ids, attention, B, T, { masks }), expected)
      }),
  ),

  traceIsSequence: forAll('a trace has the logits of a sequence, bit for bit', [anyModel], (subject, model) =>
    withModel(subject, model, (loaded) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const mask = data.chance(0.5) ? maskOf(model, data) : null
      const trace = traceForward(loaded, tokens, { mask })
      sameBits('logits', trace.logits(), feedOnce(loaded, tokens, { mask, mode: 'simulate' }))
      trace.dispose()
    }),
  ),

  scoring: forAll(
    'scores taken inside the backend = those of the logits, bit for bit',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const labels = tokens.map((id) => (data.chance(0.3) ? -100 : id))
        const sequence = loaded.begin()
        const scores = sequence.score(tokens, shiftLabels(labels))
        sequence.dispose()
        const expected = negativeLogLikelihood(loaded.backend, feedOnce(loaded, tokens), labels)
        sameBits('nll', unshiftScores(scores), expected)
      }),
  ),
}
