/**
 * One text for a client: a prompt is read and tokens are written after it, in steps that a scheduler can mix with those of other
 * texts. A writer is a generator: each `next` is one step, and `return` frees what it holds.
 *
 * The tokens are those of `ShadowModel.generate` with the same seed. Where they are checked dense, those that are not yet
 * checked are held back. A dense prompt is read in parts, so that others get their turns; under a planner, which is asked for the
 * prompt as a whole, a step is one operation on it.
 *
 * Echoed log-probabilities under a planner: which part of the prompt is the answer that a client scores is not known here, and
 * a mask must not be decided from a token that it then scores. So the planner is shown the first `maskTokens` tokens only, all
 * later ones are scored under its mask, and those that it was shown are scored dense: no mask is there yet that has not seen
 * them. A log-probability thus never depends on its own token, nor on a later one, nor on the length of the prompt. With
 * `maskTokens` the length of the context, the answer has the bits of `shadowllm eval`. Where the answer is checked dense, the
 * whole prompt runs dense, and is scored so.
 */
import { expectCheckable, TokenChooser, type NextTokens } from '../engine/next_tokens.ts'
import { makeSampler, type SamplerOptions } from '../engine/sampling.ts'
import { MAX_RESERVED, type TextRun } from '../engine/generate.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { Sequence, SequenceOptions } from '../engine/sequence.ts'
import type { Tokenizer } from '../io/tokenizer.ts'
import { StopText } from '../io/stop_text.ts'
import { ThinkingSplitter } from '../io/thinking.ts'
import type { UnitMask } from '../masks/mask.ts'
import type { MaskPlanner } from '../masks/planner.ts'
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
}

/** Tokens of a dense prompt that are read in one step. */
const STEP = 32

/** A prompt that has run. */
interface RunPrompt {
  readonly sequence: Sequence
  /** Of its last token: [V]. */
  readonly logits: Float32Array
  /** Of its tokens; empty if they were not asked for. */
  readonly scores: readonly TokenScore[]
}

/**
 * Writes one text; yields null after a step that added nothing.
 * @throws what `Sequence.feed` and the planner throw; UsageError CHECK, PREFILL, EVERY for a check that cannot be made
 */
export function* writeText(
  model: LanguageModel,
  tokenizer: Tokenizer,
  task: WritingTask,
): Generator<Piece | null, Written, void> {
  const { maxTokens, stopIds, likeliest, echo, planner, check } = task
  const sampler = makeSampler(task.sampling)
  expectCheckable(check, planner)
  const { sequence, logits: first, scores: ofPrompt } = yield* readPrompt(model, task)
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
    sequence.dispose()
  }
}

/** Reads the prompt, and scores its tokens where they are echoed with log-probabilities. */
function* readPrompt(model: LanguageModel, task: WritingTask): Generator<null, RunPrompt, void> {
  const { ids, planner, check, mode, cache, maxTokens, likeliest, echo } = task
  const isScored = echo !== null && likeliest !== null
  const scores: TokenScore[] = isScored ? [unscored(ids[0])] : []
  /** Scores what follows the tokens of a feed. @param logits of the tokens from `start` on: [n, V] */
  const score = (logits: Float32Array, start: number, count: number): void => {
    const followers = ids.subarray(start + 1, start + 1 + count)
    const rows = logits.subarray(0, followers.length * model.config.vocabulary)
    if (followers.length > 0) scores.push(...scoreTokens(model, rows, followers, likeliest as number))
  }
  /** Feeds tokens in parts. */
  const feed = function* (sequence: Sequence, from: number, to: number): Generator<null, Float32Array, void> {
    let last: Float32Array = new Float32Array(0)
    for (let start = from; start < to; start += STEP) {
      const part = ids.subarray(start, Math.min(to, start + STEP))
      last = sequence.feed(part, isScored ? 'all' : 'last')
      if (isScored) score(last, start, part.length)
      yield null
    }
    return last.slice(-model.config.vocabulary)
  }
  const T = ids.length
  const seen = planner ? (isScored && check === undefined ? Math.min(task.maskTokens, T) : T) : 0
  const stored = {
    mode,
    cache,
    capacity: T + Math.min(maxTokens, MAX_RESERVED),
    rewinds: check !== undefined,
  }
  if (isScored && seen > 1) {
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
      if (isScored) score(logits, seen - 1, 1)
      yield null
    }
    if (seen < T) logits = yield* feed(sequence, seen, T)
    isRead = true
    return { sequence, logits: logits as Float32Array, scores }
  } finally {
    // The text may have been left between two parts of its prompt.
    if (!isRead) sequence.dispose()
  }
}
