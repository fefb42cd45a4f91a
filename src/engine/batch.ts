/**
 * Batches: padding is removed first, and every sequence runs alone.
 *
 * A row of the attention mask is one run of ones, wherever it starts; the tokens under it are the sequence, at positions
 * from 0. So a sequence gets the same bits alone or in a batch, padded left or right. Values at padding are 0.
 */
import type { UnitMask } from '../masks/mask.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { withSequence, type LanguageModel } from './language_model.ts'
import type { SequenceOptions } from './sequence.ts'

/** One sequence of a batch. */
export interface Unpadded {
  readonly row: number
  /** Column of its first token. */
  readonly start: number
  readonly tokens: Int32Array
}

/**
 * Takes the padding away.
 * @param inputIds [B, T]
 * @param attentionMask [B, T] of 0 and 1, or null for no padding
 * @throws UsageError BATCH_SHAPE; InputError MASK_NOT_CONTIGUOUS unless each row is one run of ones
 */
export function unpad(
  inputIds: Int32Array,
  attentionMask: ArrayLike<number> | null,
  B: number,
  T: number,
): Unpadded[] {
  for (const [name, length] of [
    ['inputIds', inputIds.length],
    ['attentionMask', attentionMask?.length ?? B * T],
  ] as const)
    if (length !== B * T)
      throw new UsageError('BATCH_SHAPE', `${name}: expected [${B}, ${T}], got ${length} numbers`)
  return Array.from({ length: B }, (_, row) => {
    const { start, end } = attentionMask ? runOfOnes(attentionMask, row, T) : { start: 0, end: T }
    return { row, start, tokens: inputIds.slice(row * T + start, row * T + end) }
  })
}

function runOfOnes(mask: ArrayLike<number>, row: number, T: number): { start: number; end: number } {
  const refuse = (got: string): InputError =>
    new InputError('MASK_NOT_CONTIGUOUS', `attention mask row ${row}: expected one run of ones, got ${got}`)
  let start = -1
  let end = -1
  for (let t = 0; t < T; t++) {
    const value = mask[row * T + t]
    if (value !== 0 && value !== 1) throw refuse(`${value} at column ${t}`)
    if (value === 0) continue
    if (start === -1) start = t
    else if (end !== t) throw refuse(`a second run at column ${t}`)
    end = t + 1
  }
  if (start === -1) throw refuse('none')
  return { start, end }
}

/**
 * Puts rows of each sequence back where its tokens stand; padding is 0.
 * @param parts one array per sequence, `width` numbers per token
 * @returns [B, T, width]
 */
export function repad(
  sequences: readonly Unpadded[],
  parts: readonly Float32Array[],
  T: number,
  width: number,
): Float32Array {
  const padded = new Float32Array(sequences.length * T * width)
  sequences.forEach(({ row, start }, index) => padded.set(parts[index], (row * T + start) * width))
  return padded
}

/** Masks of a batch, or who decides them: a planner is asked once per sequence. */
export interface BatchOptions extends Pick<SequenceOptions, 'planner' | 'mode' | 'cache'> {
  /** One mask for all sequences, or one per sequence. */
  readonly masks?: UnitMask | readonly (UnitMask | null)[] | null
}

/**
 * The logits of several texts in one call: [B, T, V], padded as Hugging Face pads a batch, and 0 at padding. For one text that goes on
 * token by token, `LanguageModel.begin` keeps a cache.
 * @param inputIds [B, T]
 * @param attentionMask [B, T] of 0 and 1, or null for no padding
 * @param B how many sequences
 * @param T how many positions, padding included
 * @throws what `unpad`, `LanguageModel.begin` and `Sequence.feed` throw
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { argmax, forwardBatch } from 'shadowllm/model'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const texts = ['Once upon a time', 'The dog was very'].map((text) => opt.encode(text, { prefix: true }))
 * const [B, T, V] = [texts.length, Math.max(...texts.map((ids) => ids.length)), opt.config.vocabulary]
 * const ids = new Int32Array(B * T)
 * const mask = new Uint8Array(B * T)
 * for (const [b, text] of texts.entries()) {
 *   ids.set(text, b * T)
 *   mask.fill(1, b * T, b * T + text.length)
 * }
 * const logits = forwardBatch(opt.model, ids, mask, B, T)
 * for (const [b, text] of texts.entries()) {
 *   const last = b * T + text.length - 1
 *   console.log(argmax(logits.subarray(last * V, (last + 1) * V)))
 * }
 * await opt.dispose()
 * ```
 */
export function forwardBatch(
  model: LanguageModel,
  inputIds: Int32Array,
  attentionMask: ArrayLike<number> | null,
  B: number,
  T: number,
  options: BatchOptions = {},
): Float32Array {
  const { masks = null, planner, mode, cache } = options
  const sequences = unpad(inputIds, attentionMask, B, T)
  const parts = sequences.map(({ row, tokens }) => {
    const mask = Array.isArray(masks) ? (masks[row] as UnitMask | null) : (masks as UnitMask | null)
    return withSequence(model, { mask, planner, mode, cache, capacity: tokens.length }, (sequence) =>
      sequence.feed(tokens, 'all'),
    )
  })
  return repad(sequences, parts, T, model.config.vocabulary)
}
