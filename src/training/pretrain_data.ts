/**
 * The training data of a language model: documents are joined into one stream of tokens, the stream is cut into windows, and
 * batches of windows depend on seed and step only.
 *
 * Documents are separated by `</s>`. A window is `</s>` and the next `length` - 1 tokens of the stream. Windows do not overlap,
 * and the rest of the stream is not used. Each epoch visits all windows in its own random order. The windows of a step follow
 * from its number, so a resumed run sees the same windows as an uninterrupted one.
 */
import { makePieceEncoder, type Encode } from '../io/encode_pieces.ts'
import { concatenate } from '../tensor/concatenate.ts'
import { Random } from '../tensor/random.ts'
import { UsageError } from '../tensor/errors.ts'

/**
 * An encoder of long texts that is fast because it encodes each different word once; `joinDocuments` and `cutStream` make windows of its
 * tokens. A piece is a word with the white space before it: GPT-2's
 * pre-tokenisation always cuts between a character and white space after it, so the pieces' tokens in a row are the
 * text's.
 */
export function makeTextEncoder(encode: Encode): (text: string) => Int32Array {
  const encodePieces = makePieceEncoder(encode, /\s*\S+|\s+$/g)
  return (text) => concatenate(Int32Array, encodePieces(text))
}

/**
 * One stream of tokens from many documents, for `cutStream`.
 * @param documents their tokens
 * @param separator the token between two documents
 */
export function joinDocuments(documents: readonly Int32Array[], separator: number): Int32Array {
  const between = Int32Array.of(separator)
  const parts = documents.flatMap((tokens, i) => (i === 0 ? [tokens] : [between, tokens]))
  return concatenate(Int32Array, parts)
}

/**
 * Cuts a stream of tokens into windows to train on, in order: [`length`] each. `holdOut` parts them.
 * @param stream [N] tokens; what is left at its end is dropped
 * @param length tokens of a window, the first included
 * @param bosId the first token of every window
 * @throws UsageError WINDOW_SIZE for less than two tokens, because nothing would be scored
 */
export function cutStream(stream: Int32Array, length: number, bosId: number): Int32Array[] {
  if (!(Number.isInteger(length) && length >= 2))
    throw new UsageError('WINDOW_SIZE', `window: expected 2 tokens or more, got ${length}`)
  const windows: Int32Array[] = []
  for (let at = 0; at + length - 1 <= stream.length; at += length - 1) {
    const window = new Int32Array(length)
    window[0] = bosId
    window.set(stream.subarray(at, at + length - 1), 1)
    windows.push(window)
  }
  return windows
}

/** Training windows and held-out windows. */
export interface PretrainWindows {
  readonly training: readonly Int32Array[]
  readonly heldOut: readonly Int32Array[]
}

/**
 * Parts windows into those for training and those that are held out, as `pretrain` takes them.
 * @param windows of tokens
 * @param every the n-th window of each n is held out
 */
export function holdOut(windows: readonly Int32Array[], every: number): PretrainWindows {
  const isHeld = (i: number): boolean => i % every === every - 1
  return {
    training: windows.filter((_, i) => !isHeld(i)),
    heldOut: windows.filter((_, i) => isHeld(i)),
  }
}

/** At most `count` of the windows, evenly spread. */
export function spread(windows: readonly Int32Array[], count: number): Int32Array[] {
  const taken = Math.min(count, windows.length)
  return Array.from({ length: taken }, (_, i) => windows[Math.floor((i * windows.length) / taken)])
}

/** @throws UsageError WINDOWS if there are no training windows */
export function checkWindows(count: number): void {
  if (count < 1)
    throw new UsageError('WINDOWS', 'text: expected the tokens of at least one window, got fewer')
}

/** The windows of a step. */
export type Batches = (step: number) => Int32Array

/**
 * Which windows each step of a training takes, so that every epoch sees all of them once: a function of the step, which gives indices.
 * Step s takes draws s B to (s + 1) B - 1, where each epoch of N draws is a permutation that depends on seed and epoch.
 * @param windows N, how many windows there are
 * @param batch B, how many a step takes
 * @param seed a whole number from 0
 * @throws UsageError WINDOWS if there are none
 */
export function seededBatches(windows: number, batch: number, seed: number): Batches {
  checkWindows(windows)
  let known = { epoch: -1, order: new Int32Array(0) }
  const orderOf = (epoch: number): Int32Array => {
    if (known.epoch !== epoch) {
      const order = new Random(mix(seed, epoch)).permutation(windows)
      known = { epoch, order: order as Int32Array<ArrayBuffer> }
    }
    return known.order
  }
  return (step) =>
    Int32Array.from({ length: batch }, (_, b) => {
      const draw = step * batch + b
      return orderOf(Math.floor(draw / windows))[draw % windows]
    })
}

/** One seed of two numbers. */
function mix(seed: number, epoch: number): number {
  return (Math.imul(seed, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b)) >>> 0
}
