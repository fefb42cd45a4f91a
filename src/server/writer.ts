/**
 * One text for a client: a prompt is read and tokens are written after it, in steps that a scheduler can mix with those of other
 * texts. A writer is a generator: each `next` is one step, and `return` frees what it holds.
 *
 * The tokens are those of `ShadowModel.generate` with the same seed. Where they are checked dense, those that are not yet
 * checked are held back. A dense prompt is read in parts, so that others get their turns; under a planner, which is asked for the
 * prompt as a whole, a step is one operation on it. A prompt that is not scored goes on from an earlier text where it can.
 *
 * Echoed log-probabilities under a planner: which part of the prompt is the answer that a client scores is not known here, and
 * a mask must not be decided from a token that it then scores. So the planner is shown the first `maskTokens` tokens only, all
 * later ones are scored under its mask, and those that it was shown are scored dense: no mask is there yet that has not seen
 * them. A log-probability thus never depends on its own token, nor on a later one, nor on the length of the prompt. With
 * `maskTokens` the length of the context, the answer has the bits of `shadowllm eval`. Where the answer is checked dense, the
 * whole prompt runs dense, and is scored so.
 */
import { Conversation, type BegunSequence, type TextPlace } from '../engine/conversation.ts'
import { expectCheckable, TokenChooser, type NextTokens } from '../engine/next_tokens.ts'
import { makeSampler, type Sampler, type SamplerOptions } from '../engine/sampling.ts'
import { MAX_RESERVED, type TextRun } from '../engine/generate.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { Sequence, SequenceOptions } from '../engine/sequence.ts'
import type { Tokenizer } from '../io/tokenizer.ts'
import { StopText } from '../io/stop_text.ts'
import { ThinkingSplitter } from '../io/thinking.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
import { STEP } from './sequence_store.ts'
import type { ReadPrompt } from './reading.ts'
import { scoreTokens, unscored, type TokenScore } from './token_scores.ts'

/** A text to be written. */
export interface WritingTask
  extends ReadPrompt, Pick<SequenceOptions, 'mode' | 'cache'>, Pick<NextTokens, 'check'> {
  readonly sampling: SamplerOptions
  /** Null is dense. */
  readonly planner: MaskPlanner | null
  /** Ids that end the text. */
  readonly stopIds: ReadonlySet<number>
  /** Texts that end it. */
  readonly stops: readonly string[]
  /** How many of the likeliest tokens are told; null for no log-probabilities. */
  readonly likeliest: number | null
  /** How many tokens of an echoed and scored prompt planners see. */
  readonly maskTokens: number
  /** Whether a space that begins the answer is part of it. */
  readonly continues: boolean
  /** Whether what the model thinks is told apart, as in chats; texts that end an answer do not end that. */
  readonly splits?: boolean
}

/** The text that one step added. */
export interface Piece {
  /** Complete characters that no stop text can still take back. */
  readonly text: string
  /** What the model thinks before it answers. */
  readonly thinking: string
  /** The tokens of this step, those of an end token and of a stop text too; none if they were not asked for. */
  readonly scores: readonly TokenScore[]
}

/** How a text ended. */
export interface Written extends TextRun {
  readonly end: 'stop' | 'length'
  /** Tokens that were generated, an end token included. */
  readonly tokens: number
  /** The mask at the end; null is dense. */
  readonly mask: UnitMask | null
  /** Tokens of the prompt that an earlier text had read. */
  readonly reused: number
}

/** A prompt that has run. */
interface RunPrompt extends Pick<BegunSequence, 'sequence' | 'logits' | 'reused'> {
  /** Of its tokens; empty if they were not asked for. */
  readonly scores: readonly TokenScore[]
}

/**
 * Writes one text; yields null after a step that added nothing.
 * @param place where its sequence comes from and goes; default: it is begun anew, and freed
 * @throws what `Sequence.feed` and the planner throw; UsageError CHECK, PREFILL, EVERY for a check that cannot be made
 */
export function* writeText(
  model: LanguageModel,
  tokenizer: Tokenizer,
  task: WritingTask,
  place: TextPlace = new Conversation(false),
): Generator<Piece | null, Written, void> {
  const { maxTokens, stopIds, likeliest, echo, planner, check } = task
  const sampler = makeSampler(task.sampling)
  expectCheckable(check, planner)
  const isScored = echo !== null && likeliest !== null
  const read = isScored ? scorePrompt(model, task, likeliest) : beginPrompt(model, task, place, sampler)
  const { sequence, logits: first, scores: ofPrompt, reused } = yield* read
  const chooser = new TokenChooser(sequence, {
    sampler,
    prompt: task.ids,
    maxTokens,
    stops: stopIds,
    check,
    planner,
  })
  const written = (end: Written['end'], tokens: number): Written => ({
    end,
    tokens,
    mask: sequence.mask,
    decisions: sequence.decisions,
    checked: chooser.counts,
    reused,
  })
  try {
    if (echo !== null) yield { text: echo, thinking: '', scores: ofPrompt }
    const splitter = task.splits ? new ThinkingSplitter(tokenizer, task.ids) : null
    const decoder = tokenizer.stream({ skipSpecial: true, continues: task.continues })
    const stops = new StopText(task.stops)
    const passes = chooser.tokens(first)
    for (let tokens = 1; tokens <= maxTokens;) {
      const chosen = passes.next().value
      if (!chosen) {
        yield null
        continue
      }
      const { token, logits } = chosen
      const scores = likeliest === null ? [] : scoreTokens(model, logits, [token], likeliest)
      const isEnd = stopIds.has(token)
      const isLast = isEnd || tokens === maxTokens
      const added = (isEnd ? '' : decoder.push(token)) + (isLast ? decoder.end() : '')
      const part = splitter?.take(token, added) ?? { thinking: '', text: added }
      const { thinking } = part
      const { text, stopped } = stops.push(part.text)
      yield { text: isLast && !stopped ? text + stops.end() : text, thinking, scores }
      if (isEnd || stopped) return written('stop', tokens)
      tokens++
    }
    return written('length', maxTokens)
  } finally {
    place.keep(sequence, chooser.text, { logits: null, sampler, isWhole: true })
  }
}

/** How the sequence of a text is stored. */
function storedAs({ ids, mode, cache, maxTokens, check }: WritingTask): SequenceOptions {
  const capacity = ids.length + Math.min(maxTokens, MAX_RESERVED)
  return { mode, cache, capacity, rewinds: check !== undefined }
}

/** Reads the prompt of a text from where an earlier one shares it. */
function* beginPrompt(
  model: LanguageModel,
  task: WritingTask,
  place: TextPlace,
  sampler: Sampler,
): Generator<null, RunPrompt, void> {
  const { ids, planner, check, maxTokens } = task
  const options = { ...storedAs(task), planner, expectedTokens: maxTokens - 1 }
  const how = { sampler, isChecked: check !== undefined && planner !== null }
  const begun = yield* place.begin(model, ids, options, how)
  return { ...begun, scores: [] }
}

/** Reads the prompt of a text, and scores its tokens. */
function* scorePrompt(
  model: LanguageModel,
  task: WritingTask,
  likeliest: number,
): Generator<null, RunPrompt, void> {
  const { ids, planner, check, maxTokens } = task
  const scores: TokenScore[] = [unscored(ids[0])]
  /** Scores what follows the tokens of a feed. @param logits of the tokens from `start` on: [n, V] */
  const score = (logits: Float32Array, start: number, count: number): void => {
    const followers = ids.subarray(start + 1, start + 1 + count)
    const rows = logits.subarray(0, followers.length * model.config.vocabulary)
    if (followers.length > 0) scores.push(...scoreTokens(model, rows, followers, likeliest))
  }
  /** Feeds tokens in parts. */
  const feed = function* (sequence: Sequence, from: number, to: number): Generator<null, Float32Array, void> {
    let last: Float32Array = new Float32Array(0)
    for (let start = from; start < to; start += STEP) {
      const part = ids.subarray(start, Math.min(to, start + STEP))
      last = sequence.feed(part, 'all')
      score(last, start, part.length)
      yield null
    }
    return last.slice(-model.config.vocabulary)
  }
  const T = ids.length
  const seen = planner ? (check === undefined ? Math.min(task.maskTokens, T) : T) : 0
  const stored = storedAs(task)
  if (seen > 1) {
    const dense = model.begin({ ...stored, capacity: seen })
    try {
      yield* feed(dense, 0, seen - 1)
    } finally {
      dense.dispose()
    }
  }
  const sequence = model.begin({ ...stored, planner, expectedTokens: T - seen + maxTokens - 1 })
  let isRead = false
  try {
    let logits: Float32Array | null = null
    if (seen > 0) {
      logits = yield* sequence.feedInSteps(ids.subarray(0, seen), 'last')
      score(logits, seen - 1, 1)
      yield null
    }
    if (seen < T) logits = yield* feed(sequence, seen, T)
    isRead = true
    return { sequence, logits: logits as Float32Array, scores, reused: 0 }
  } finally {
    // The text may have been left between two parts of its prompt.
    if (!isRead) sequence.dispose()
  }
}
