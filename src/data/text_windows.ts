/**
 * Long texts in windows of a model's context: every token is scored, with what the window holds before it as context.
 *
 * - By page, as lm-evaluation-harness does: each page begins with a prefix token (`</s>`); windows do not overlap, only
 *   the last one of a page reaches back so far that it is full.
 * - By stream, as Hugging Face's guide to perplexity does: all text in one stream, a window every `stride` tokens; a
 *   window scores what the one before it has not. Nothing comes before a window's first token, so it is not scored: with
 *   a stride as long as the context that is one token of each window.
 */
import { UsageError } from '../tensor/errors.ts'

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
  const all = withPrefix(prefix, ids)
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
 * @param prefix a token before every window, so that its first one can be scored; null for none
 * @throws UsageError STRIDE for a stride that is not 1 to `positions`, less the prefix
 */
export function streamWindows(
  ids: Int32Array,
  positions: number,
  stride: number,
  prefix: number | null = null,
): TextWindow[] {
  const size = positions - (prefix === null ? 0 : 1)
  if (!(Number.isInteger(stride) && stride >= 1 && stride <= size))
    throw new UsageError('STRIDE', `stride: expected 1 to ${size} tokens, got ${stride}`)
  const windows: TextWindow[] = []
  let scored = 0
  for (let start = 0; scored < ids.length; start += stride) {
    const own = ids.slice(start, start + size)
    const tokens = prefix === null ? own : withPrefix(prefix, own)
    const from = Math.max(1, scored - start + tokens.length - own.length)
    scored = start + own.length
    if (from < tokens.length) windows.push({ tokens, from })
  }
  return windows
}

/** A token, then others. */
export function withPrefix(prefix: number, ids: Int32Array): Int32Array {
  const all = new Int32Array(ids.length + 1)
  all[0] = prefix
  all.set(ids, 1)
  return all
}
