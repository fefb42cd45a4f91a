/**
 * Laws of sequences that the specification does not state, because it has one text without padding: batches; scores computed
 * inside the backend; and the equality of two runs on one backend, also on one that differs from the specification within bounds.
 */
import fc from 'fast-check'
import { forwardBatch } from '../../engine/batch.ts'
import { negativeLogLikelihood, shiftLabels, unshiftScores } from '../../engine/loss.ts'
import type { SequenceOptions } from '../../engine/sequence.ts'
import { sameBits, sameNumbers } from '../compare.ts'
import { withLoaded, feedOnce, forAll } from './cases.ts'
import {
  anyCache,
  anyMask,
  anyMemory,
  anyRun,
  type Asked,
  askedSomehow,
  cuts,
  eachPart,
  endsOf,
  engineCase,
  type EngineCase,
  feedInParts,
  made,
  maskOf,
  maskSchedule,
  masksUnder,
  modes,
  plannerOf,
  type Schedule,
} from './engine_cases.ts'

/** A mask, a planner, or neither. */
const anySkipping = { schedule: fc.option(maskSchedule), how: fc.option(askedSomehow) }

/** The options of a sequence: none, the first mask of a schedule, or a planner that returns the masks of the schedule in turn. */
function skippingOf(
  drawn: EngineCase,
  schedule: Schedule | null,
  how: Asked | null,
): Pick<SequenceOptions, 'mask' | 'planner'> {
  if (schedule === null) return {}
  const masks = masksUnder(drawn, schedule, how)
  if (how === null) return { mask: masks[0] }
  let asked = 0
  return { planner: plannerOf(drawn, how, () => masks[asked++ % masks.length]) }
}

export const sequenceLaws = {
  anyRun: forAll(
    'a text has the same logits however it is fed, packed and held, bit for bit; simulated or run by cost, as numbers',
    {
      drawn: engineCase,
      ...anySkipping,
      ...anyRun,
      parts: cuts,
      bytesPerBackend: anyMemory,
    },
    async (subject, { drawn, schedule, how, storage, cache, mode, parts, bytesPerBackend }) => {
      const { config, tensors, tokens } = made(drawn)
      const [prompt] = endsOf(tokens, parts)
      const expected = await withLoaded(subject, config, tensors, { storage }, (model) => {
        const options = { ...skippingOf(drawn, schedule, how), mode: 'skip', cache } as const
        return feedInParts(model, tokens, [prompt - 1], options)
      })
      const same = mode === 'skip' || mode === 'pack' ? sameBits : sameNumbers
      await withLoaded(subject, config, tensors, { storage, bytesPerBackend }, (model) => {
        const options = { ...skippingOf(drawn, schedule, how), mode, cache, capacity: 1 }
        same(mode, feedInParts(model, tokens, parts, options), expected)
      })
    },
  ),

  alone: forAll(
    'a sequence gets the same bits alone and in a batch, padded left, right or both; padding gets 0',
    {
      drawn: engineCase,
      // The rows of the batch: where the text begins, the padding before it, and a mask or none.
      rows: fc.array(
        fc.record({
          tokens: fc.nat({ max: 11 }),
          before: fc.nat({ max: 3 }),
          skip: fc.option(anyMask),
        }),
        { minLength: 1, maxLength: 4, size: 'max' },
      ),
      cache: anyCache,
    },
    async (subject, { drawn, rows, cache }) => {
      const { config, tensors, tokens } = made(drawn)
      const V = config.vocabulary
      const texts = rows.map((row) => tokens.slice(row.tokens % tokens.length))
      const masks = rows.map(({ skip }) => skip && maskOf(drawn, skip))
      const B = rows.length
      const T = Math.max(...rows.map(({ before }, b) => before + texts[b].length))
      const ids = new Int32Array(B * T)
      const attention = new Int32Array(B * T)
      const expected = new Float32Array(B * T * V)
      await withLoaded(subject, config, tensors, {}, (model) => {
        texts.forEach((text, b) => {
          const start = b * T + rows[b].before
          ids.set(text, start)
          attention.fill(1, start, start + text.length)
          expected.set(feedOnce(model, text, { mask: masks[b], cache }), start * V)
        })
        sameBits('batch', forwardBatch(model, ids, attention, B, T, { masks, cache }), expected)
      })
    },
  ),

  scoring: forAll(
    'scores taken inside the backend = those of the logits, bit for bit, in any parts, under a mask or a planner',
    {
      drawn: engineCase,
      scored: fc.array(fc.boolean(), { minLength: 1 }),
      ...anySkipping,
      cache: anyCache,
      mode: modes,
      parts: cuts,
    },
    async (subject, { drawn, scored, schedule, how, cache, mode, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const labels = tokens.map((id, t) => (scored[t % scored.length] ? id : -100))
      const options = (): SequenceOptions => ({ ...skippingOf(drawn, schedule, how), mode, cache })
      await withLoaded(subject, config, tensors, {}, (model) => {
        const logits = feedInParts(model, tokens, parts, options())
        const targets = shiftLabels(labels)
        const scores = new Float32Array(tokens.length)
        eachPart(model, tokens, parts, options(), (sequence, start, end) =>
          scores.set(sequence.score(tokens.slice(start, end), targets.slice(start, end)), start),
        )
        sameBits('nll', unshiftScores(scores), negativeLogLikelihood(model.backend, logits, labels))
      })
    },
  ),
}
