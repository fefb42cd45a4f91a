/**
 * What reading needs of a model, as bytes in shared memory: a thread that starts makes its own of it, and nothing is copied on
 * the thread that answers.
 */
import { createTokenizer } from '../io/tokenizer.ts'
import type { Vocabulary } from '../io/vocabulary.ts'
import { shareBytes } from '../platform/platform.ts'
import type { ReadingModel } from './reading.ts'

type Scored = readonly [string, { readonly score: number; readonly length: number }]

/** As JSON has it. */
interface Packed extends Omit<ReadingModel, 'tokenizer'> {
  readonly tokens: Omit<Vocabulary, 'ids' | 'special' | 'merges'> & {
    readonly merges: readonly (readonly [string, string])[] | { readonly scored: readonly Scored[] }
    readonly ids: readonly (readonly [string, number])[]
    readonly special: readonly string[]
  }
}

/** Packs a model. */
export function packModel({ tokenizer, ...rest }: ReadingModel): Uint8Array {
  const { ids, special, merges: all, ...tokens } = tokenizer.vocabulary
  const merges = 'length' in all ? all : { scored: [...all] }
  const packed: Packed = { ...rest, tokens: { ...tokens, merges, ids: [...ids], special: [...special] } }
  return shareBytes(new TextEncoder().encode(JSON.stringify(packed)))
}

/** The model of `packModel`. */
export function unpackModel(bytes: Uint8Array): ReadingModel {
  // Text cannot be decoded from shared memory.
  const { tokens, ...rest } = JSON.parse(new TextDecoder().decode(bytes.slice())) as Packed
  const { merges: all } = tokens
  const merges = 'length' in all ? all : new Map(all.scored)
  const vocabulary = { ...tokens, merges, ids: new Map(tokens.ids), special: new Set(tokens.special) }
  return { ...rest, tokenizer: createTokenizer(vocabulary) }
}
