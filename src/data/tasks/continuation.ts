/**
 * `continuation`: the true continuation of a text among three others. It is made from any text, for models too small for
 * the published tasks.
 *
 * A window's prompt is the context; the answers are its own continuation and those of three windows of the same genre,
 * from other documents and of as many tokens where there are enough. All are whole words, so a model that ignores the
 * context is right once in four. `acc_mutual_info` is the metric to look at: some answers are likelier than others
 * whatever comes before them.
 */
import { UsageError } from '../../tensor/errors.ts'
import { Random } from '../../tensor/random.ts'
import type { Document } from '../corpus.ts'
import { cutWindows, drawWindows, type Window, type WindowSizes } from '../windows.ts'
import type { Asked, Request } from './prompts.ts'
import type { Metric } from './task.ts'

export const continuationName = 'continuation'
export const continuationVersion = 2
export const continuationMetrics: readonly Metric[] = ['acc', 'acc_norm', 'acc_mutual_info']

/** Wrong answers beside the right one. */
const distractors = 3

/** How questions are made of windows: a prompt is a context, a continuation an answer. */
export interface ContinuationOptions extends WindowSizes {
  readonly documents: readonly Document[]
  /** How many questions. */
  readonly count: number
  readonly seed: number
  /** The token before an answer that is asked alone, where nothing begins a context. */
  readonly emptyId: number
  readonly encodeWords: (text: string) => Int32Array[]
  /** Characters of the text that tokens spell. */
  readonly charactersOf: (tokens: Int32Array) => number
}

/**
 * Up to `count` questions, genre by genre in turn. Fewer questions are the first of more.
 * @throws UsageError TEXT if the text has no window, or no genre with enough of them
 */
export function askContinuations(options: ContinuationOptions): Asked[] {
  const { documents, count, seed, encodeWords } = options
  const cut = (document: Document): Window[] => cutWindows(document, encodeWords, options)
  const windows = drawWindows(documents, Infinity, seed, cut)
  const genres = Map.groupBy(windows, ({ genre }) => genre)
  const random = new Random(seed)
  const asked: Asked[] = []
  for (const window of windows) {
    if (asked.length === count) break
    const others = drawOthers(window, genres.get(window.genre) as Window[], random)
    if (others.length < distractors) continue
    asked.push(makeQuestion(window, others, random.below(distractors + 1), options))
  }
  if (asked.length > 0) return asked
  throw new UsageError(
    'TEXT',
    `text: expected ${distractors + 1} windows of ${options.prompt} + ${options.continuation} tokens of one genre, got fewer`,
  )
}

/** Other windows of the genre, each with an answer of its own: of other documents first, of the same length before that. */
function drawOthers(window: Window, genre: readonly Window[], random: Random): Window[] {
  const order = Array.from(random.permutation(genre.length), (place) => genre[place])
  const isElsewhere = (other: Window): boolean => other.document !== window.document
  const taken = new Set([spell(window)])
  const drawn: Window[] = []
  for (const fits of [
    (other: Window) => isElsewhere(other) && answerLength(other) === answerLength(window),
    isElsewhere,
    () => true,
  ])
    for (const other of order) {
      if (drawn.length === distractors) return drawn
      if (!fits(other) || taken.has(spell(other))) continue
      taken.add(spell(other))
      drawn.push(other)
    }
  return drawn
}

function answerLength({ tokens, promptLength }: Window): number {
  return tokens.length - promptLength
}

/** The answer, as a key. */
function spell({ tokens, promptLength }: Window): string {
  return tokens.subarray(promptLength).join(' ')
}

function makeQuestion(
  window: Window,
  others: readonly Window[],
  gold: number,
  { charactersOf, prefixIds, emptyId }: ContinuationOptions,
): Asked {
  const context = window.tokens.slice(0, window.promptLength)
  const answers = others.toSpliced(gold, 0, window).map((one) => one.tokens.slice(one.promptLength))
  const after = (start: ArrayLike<number> & Iterable<number>): Request[] =>
    answers.map((answer) => ({ tokens: Int32Array.of(...start, ...answer), promptLength: start.length }))
  return {
    place: window.document,
    genre: window.genre,
    requests: after(context),
    alone: after(prefixIds.length > 0 ? prefixIds : [emptyId]),
    lengths: answers.map(charactersOf),
    gold,
  }
}
