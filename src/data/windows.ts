/**
 * Windows: a prompt to predict a mask from, and the continuation that is scored under it.
 *
 * A window is `</s>`, then whole words of one document: those that fit into the prompt, then those that fit into the
 * rest. Cutting between words makes the count of scored words exact: a window's words are the whitespace-separated
 * words of the text its scored tokens spell, no more and no less. Windows do not overlap; what is left of a document
 * after its last full window is not used.
 */
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { Random } from '../tensor/random.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Document } from './corpus.ts'

/** Text to token ids, nothing added. */
export type Encode = (text: string) => ArrayLike<number>

/** A prompt and its continuation. */
export interface Window {
  readonly document: string
  readonly genre: string
  readonly tokens: Int32Array // [T]
  /** How many tokens are the prompt, `</s>` included. */
  readonly promptLength: number
  /** Words of the text that the tokens after the prompt spell. */
  readonly words: number
}

/** How windows are cut. */
export interface WindowSizes {
  /** Most tokens of a prompt, `</s>` included. */
  readonly prompt: number
  /** Most tokens of a continuation. */
  readonly continuation: number
  /** The token every window begins with. */
  readonly bosId: number
}

/**
 * Encodes word by word, remembering words: for byte-level BPE that is the same as encoding the text, because the
 * pre-tokeniser cuts before a space or line break that begins a word.
 */
export function makeWordEncoder(encode: Encode): (text: string) => Int32Array[] {
  const known = new Map<string, Int32Array>()
  return (text) =>
    (text.match(/\s?\S+/g) ?? []).map((word) => {
      let tokens = known.get(word)
      if (tokens === undefined) known.set(word, (tokens = Int32Array.from(encode(word))))
      return tokens
    })
}

/** Every window of a document, in order. @throws UsageError WINDOW_SIZE if there is no room for prompt or continuation */
export function cutWindows(
  document: Document,
  encodeWords: (text: string) => Int32Array[],
  sizes: WindowSizes,
): Window[] {
  if (!(sizes.prompt >= 2 && sizes.continuation >= 1))
    throw new UsageError(
      'WINDOW_SIZE',
      `window: expected a prompt of 2 tokens or more and a continuation, got ${sizes.prompt} + ${sizes.continuation}`,
    )
  const words = encodeWords(document.text)
  const windows: Window[] = []
  let next = 0
  while (next < words.length) {
    const prompt = fill(words, next, sizes.prompt - 1)
    const continuation = fill(words, prompt.end, sizes.continuation)
    // The document ended before the window was full. A word longer than a prompt ends it too.
    if (prompt.end === next || continuation.end === words.length || continuation.tokens.length === 0) break
    windows.push({
      document: document.name,
      genre: document.genre,
      tokens: Int32Array.of(sizes.bosId, ...prompt.tokens, ...continuation.tokens),
      promptLength: prompt.tokens.length + 1,
      words: continuation.end - prompt.end,
    })
    next = continuation.end
  }
  return windows
}

/** The tokens of as many whole words from `start` on as `room` holds. */
function fill(words: readonly Int32Array[], start: number, room: number): { tokens: number[]; end: number } {
  const tokens: number[] = []
  let end = start
  while (end < words.length && tokens.length + words[end].length <= room) tokens.push(...words[end++])
  return { tokens, end }
}

/**
 * `count` windows, or all there are: genre by genre in turn, within a genre document by document in random order, of
 * each document its windows in random order. A smaller count is a prefix of a larger one, and a document is cut only
 * when its turn comes.
 */
export function drawWindows(
  documents: readonly Document[],
  count: number,
  seed: number,
  cut: (document: Document) => Window[],
): Window[] {
  const random = new Random(seed)
  const genres = [...Map.groupBy(documents, (document) => document.genre).values()].map((group) =>
    Array.from(random.permutation(group.length), (place) => ({
      document: group[place],
      seed: random.uint32(),
      windows: null as Window[] | null,
    })),
  )
  const drawn: Window[] = []
  for (let queues = genres; queues.length > 0; queues = queues.filter((queue) => queue.length > 0))
    for (const queue of queues) {
      if (drawn.length === count) return drawn
      // A document without windows gives its turn to the next one.
      for (let next = queue.shift(); next; next = queue.shift()) {
        next.windows ??= shuffle(cut(next.document), next.seed)
        const window = next.windows.pop()
        if (!window) continue
        drawn.push(window)
        queue.push(next)
        break
      }
    }
  return drawn
}

function shuffle(windows: readonly Window[], seed: number): Window[] {
  return Array.from(new Random(seed).permutation(windows.length), (place) => windows[place])
}

/** The tokens of the continuation, and -100 (not scored) for the prompt: [T]. */
export function continuationLabels(window: Window): Int32Array {
  const labels = window.tokens.slice()
  return labels.fill(NOT_SCORED, 0, window.promptLength)
}
