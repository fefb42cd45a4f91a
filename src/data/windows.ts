/**
 * Windows of texts. A window is a prompt to predict a mask from, and the continuation that is scored under it; or a part of
 * a long text that is scored as a whole, with what the window holds before a token as its context.
 *
 * A window to predict from is what the tokenizer puts before a text (`</s>` of OPT, nothing of SmolLM2), then whole words of
 * one document: those that fit into the prompt, then those that fit into the continuation. Cutting between words makes the count of scored words exact: the words of a window are the
 * whitespace-separated words of the text that its scored tokens spell. Windows do not overlap; the rest of a document after
 * its last full window is not used.
 */
import { makePieceEncoder, type Encode } from '../io/encode_pieces.ts'
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { Random } from '../tensor/random.ts'
import { UsageError } from '../tensor/errors.ts'
import { kinds, required, type Kind, type Kinds } from '../tensor/option.ts'
import type { Document } from './corpus.ts'

/** A prompt and its continuation. */
export interface Window {
  readonly document: string
  readonly genre: string
  readonly tokens: Int32Array // [T]
  /** How many tokens are the prompt, those before the text included. */
  readonly promptLength: number
  /** Words of the text that the tokens after the prompt spell. */
  readonly words: number
}

/** The fields of a window that scoring reads. */
export const windowFields: Kinds<Pick<Window, 'tokens' | 'promptLength' | 'words'>> = {
  tokens: required(kinds.idList),
  promptLength: required(kinds.number),
  words: required(kinds.number),
}

/** How windows are cut. */
export interface WindowSizes {
  /** Most tokens of a prompt, `prefixIds` included. */
  readonly prompt: number
  /** Most tokens of a continuation. */
  readonly continuation: number
  /** What every window begins with: the ids that the model expects before a text. */
  readonly prefixIds: readonly number[]
}

/** The tokens of a part of a window; `cutWindows` says which are too few. */
export const windowSizeOption: Kind = { ...kinds.number, code: 'WINDOW_SIZE' }
/** The fields of the sizes of windows. */
export const windowSizeFields: Kinds<WindowSizes> = {
  prompt: required(windowSizeOption),
  continuation: required(windowSizeOption),
  prefixIds: required(kinds.idList),
}

/**
 * Encodes word by word, remembering words: for byte-level BPE that is the same as encoding the text, because the
 * pre-tokeniser cuts before a space or line break that begins a word.
 */
export function makeWordEncoder(encode: Encode): (text: string) => Int32Array[] {
  return makePieceEncoder(encode, /\s?\S+/g)
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
  const { prefixIds } = sizes
  const words = encodeWords(document.text)
  const windows: Window[] = []
  let next = 0
  while (next < words.length) {
    const prompt = fill(words, next, sizes.prompt - prefixIds.length)
    const continuation = fill(words, prompt.end, sizes.continuation)
    // The document ended before the window was full. A word longer than a prompt ends it too.
    if (prompt.end === next || continuation.end === words.length || continuation.tokens.length === 0) break
    windows.push({
      document: document.name,
      genre: document.genre,
      tokens: Int32Array.of(...prefixIds, ...prompt.tokens, ...continuation.tokens),
      promptLength: prefixIds.length + prompt.tokens.length,
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

// ---- Long texts ------------------------------------------------------------------------------------------------------

// - By page, as lm-evaluation-harness does: each page begins with a token (`</s>`), whether or not the tokenizer puts one
//   before a text; windows do not overlap, only the last one of a page reaches back so far that it is full.
// - By stream, as Hugging Face's guide to perplexity does: all text in one stream, a window every `stride` tokens; a
//   window scores what the one before it has not. Nothing comes before a window's first token, so it is not scored: with
//   a stride as long as the context that is one token of each window.

/** Tokens to read, and from where on they are scored. The last one is scored only: it need not be fed. */
export interface TextWindow {
  readonly tokens: Int32Array // [T]
  /** The first scored token, at least 1. */
  readonly from: number
}

/**
 * The windows of one page. None for a page without tokens.
 * @param ids the page, [N]
 * @param positions how many tokens a model takes; a window has one more, which is not fed
 * @param prefix the token before the page
 */
export function pageWindows(ids: Int32Array, positions: number, prefix: number): TextWindow[] {
  const all = withPrefix([prefix], ids)
  const windows: TextWindow[] = []
  for (let next = 1; next < all.length;) {
    const end = Math.min(next + positions, all.length)
    const start = Math.max(0, end - positions - 1)
    windows.push({ tokens: all.slice(start, end), from: next - start })
    next = end
  }
  return windows
}

/**
 * The windows of a stream.
 * @param ids the stream, [N]
 * @param positions how many tokens a window has
 * @param stride how far each window begins after the one before
 * @param prefix tokens before every window, so that its first one can be scored
 * @throws UsageError STRIDE for a stride that is not 1 to `positions`, less the prefix
 */
export function streamWindows(
  ids: Int32Array,
  positions: number,
  stride: number,
  prefix: readonly number[] = [],
): TextWindow[] {
  const size = positions - prefix.length
  if (!(Number.isInteger(stride) && stride >= 1 && stride <= size))
    throw new UsageError('STRIDE', `stride: expected 1 to ${size} tokens, got ${stride}`)
  const windows: TextWindow[] = []
  let scored = 0
  for (let start = 0; scored < ids.length; start += stride) {
    const own = ids.slice(start, start + size)
    const tokens = withPrefix(prefix, own)
    const from = Math.max(1, scored - start + tokens.length - own.length)
    scored = start + own.length
    if (from < tokens.length) windows.push({ tokens, from })
  }
  return windows
}

/** Some tokens, then others. */
export function withPrefix(prefix: readonly number[], ids: Int32Array): Int32Array {
  const all = new Int32Array(prefix.length + ids.length)
  all.set(prefix)
  all.set(ids, prefix.length)
  return all
}
