/**
 * The error of storing weights in fewer bits: the same texts in the same model in each storage, compared with float32.
 *
 * Keys and values are float32 in all, so that weights alone differ. One model is in memory at a time. The logits of the
 * first, the float32 one, are kept; of the others only the cost of each text and its distance from these logits.
 */
import type { Storage } from '../engine/storages/index.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { Document } from '../data/corpus.ts'
import { DenseLogits, readLogits } from './score_window.ts'
import { achievedBy } from '../masks/achieved.ts'
import { perplexityOf, Tally } from './tally.ts'
import type { Encode } from '../io/encode_pieces.ts'

/** Tokens of a text at most. */
const TEXT_TOKENS = 128

/** The beginnings of some documents, `prefixIds` first, spread over all of them; short ones are passed over. */
export function storageTexts(
  documents: readonly Document[],
  encode: Encode,
  prefixIds: readonly number[],
  positions: number,
  count: number,
): Int32Array[] {
  const length = Math.min(TEXT_TOKENS, positions)
  const step = Math.max(1, Math.floor(documents.length / count))
  const texts: Int32Array[] = []
  for (let i = 0; i < documents.length && texts.length < count; i += step) {
    // A token is at least a character, and seldom more than sixteen.
    const tokens = encode(documents[i].text.slice(0, 16 * length))
    const room = length - prefixIds.length
    if (tokens.length >= room) texts.push(Int32Array.of(...prefixIds, ...Array.from(tokens).slice(0, room)))
  }
  return texts
}

/** How one storage, or another way to round weights, does over all texts. */
export interface StorageError<Name = Storage> {
  readonly storage: Name
  /** Bytes of all weights in memory. */
  readonly bytes: number
  /** Tokens scored: all but the first of each text. */
  readonly tokens: number
  /** Mean over tokens of KL(float32 || this), in nats. */
  readonly kl: number
  readonly tokenPerplexity: number
  /** Share of tokens at which the likeliest token is that of float32. */
  readonly agreed: number
}

/**
 * Reads every text in float32 and in each storage.
 * @param texts token ids, at least two each
 * @param open loads the model in a storage, into a backend of its own; both are disposed of here
 * @returns float32 first, then the others in the order given
 * @throws what `open` throws
 */
export async function measureStorages<Name extends string = Storage>(
  texts: readonly Int32Array[],
  storages: readonly Name[],
  open: (storage: Name | 'f32') => Promise<LanguageModel>,
): Promise<StorageError<Name | 'f32'>[]> {
  const exact: DenseLogits[] = []
  const errors: StorageError<Name | 'f32'>[] = []
  for (const storage of ['f32' as const, ...storages.filter((one) => one !== 'f32')]) {
    const model = await open(storage)
    try {
      errors.push(errorOf(storage, model, texts, exact))
    } finally {
      model.dispose()
      model.backend.dispose()
    }
  }
  return errors
}

function errorOf<Name>(
  storage: Name,
  model: LanguageModel,
  texts: readonly Int32Array[],
  exact: DenseLogits[],
): StorageError<Name> {
  const tally = new Tally()
  for (const [i, tokens] of texts.entries()) {
    const read = readLogits(model, { tokens, promptLength: 1, words: 0 }, { cache: 'f32' })
    exact[i] ??= new DenseLogits(read, tokens, model.config.vocabulary)
    tally.add(i, exact[i].compare(read), achievedBy(null, model.config))
  }
  return {
    storage,
    bytes: model.weights.bytes,
    tokens: tally.tokens,
    kl: tally.kl.value,
    tokenPerplexity: perplexityOf(tally.natsPer()).value,
    agreed: tally.agreement,
  }
}
