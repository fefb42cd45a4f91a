/**
 * The tokenizer of OPT: byte-level BPE with GPT-2's pre-tokenisation, and one `</s>` in front.
 *
 * `@huggingface/tokenizers` splits and merges, with a description that is built here from the vocabulary files. Decoding is our
 * own, because streamed text must never contain half a character.
 *
 * Invariants: decode(encode(text)) = text for every well-formed text; text that spells a special token is never encoded as that
 * token; time is O(n log n), also for one repeated character.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { joinPath } from '../platform/platform.ts'
import { isThere, readWhole } from './files.ts'
import { refusal } from './refusal.ts'
import {
  bytesOfToken,
  parseTokenizerJson,
  parseVocabularyFiles,
  specialTokens,
  type Vocabulary,
} from './vocabulary.ts'

/** Options of encoding. */
export interface EncodeOptions {
  /** Whether `</s>` comes first, as in all texts OPT was trained on; default true. */
  readonly prefix?: boolean
}

/** Options of decoding. */
export interface DecodeOptions {
  /** Whether special tokens are omitted; default false. */
  readonly skipSpecial?: boolean
}

/** Decodes a stream of tokens. */
export interface TextStream {
  /** The complete characters so far; may be empty. */
  push(id: number): string
  /** The rest: a replacement character if the tokens end inside a character. */
  end(): string
}

/** Encodes text and decodes ids. */
export interface Tokenizer {
  /** The largest id plus one. A model may have more rows. */
  readonly vocabularySize: number
  /** The ids of `<s>`, `<pad>`, `</s>` and `<unk>`. */
  readonly special: {
    readonly beginning: number
    readonly padding: number
    readonly end: number
    readonly unknown: number
  }
  /** @throws InputError TEXT_SURROGATE for a text with half a surrogate pair. */
  encode(text: string, options?: EncodeOptions): number[]
  /** Ids without a token count as `<unk>`. @throws InputError TOKEN_ID for anything but an integer from 0 on. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string
  /** A decoder of a stream: its pieces joined equal `decode` of all tokens. */
  stream(options?: DecodeOptions): TextStream
}

/** A tokenizer from a checked vocabulary. */
export function createTokenizer(vocabulary: Vocabulary): Tokenizer {
  const encoder = new TextEncoder()
  const library = new Library(describe(vocabulary), { clean_up_tokenization_spaces: false })
  const bytes: Uint8Array[] = [] // by id; holes where an id has no token
  const specialIds = new Set<number>()
  for (const [token, id] of vocabulary.ids) {
    const isSpecial = vocabulary.special.has(token)
    bytes[id] = (isSpecial ? null : bytesOfToken(token)) ?? encoder.encode(token)
    if (isSpecial) specialIds.add(id)
  }
  const [beginning, padding, end, unknown] = specialTokens.map((token) => vocabulary.ids.get(token) as number)

  const knownId = (id: number): number => {
    if (!Number.isInteger(id) || id < 0) throw refusal('TOKEN_ID', 'token', 'an integer from 0 on', `${id}`)
    return bytes[id] === undefined ? unknown : id
  }

  const stream = ({ skipSpecial = false }: DecodeOptions = {}): TextStream => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      push: (id) => {
        const known = knownId(id)
        return skipSpecial && specialIds.has(known) ? '' : decoder.decode(bytes[known], { stream: true })
      },
      end: () => decoder.decode(),
    }
  }

  return {
    vocabularySize: bytes.length,
    special: { beginning, padding, end, unknown },
    encode(text, { prefix = true } = {}) {
      if (!text.isWellFormed()) {
        const at = text.search(/\p{Surrogate}/u)
        throw refusal('TEXT_SURROGATE', 'text', 'well-formed Unicode', `half a surrogate pair at ${at}`)
      }
      const { ids } = library.encode(text, { add_special_tokens: false })
      return prefix ? [end, ...ids] : ids
    },
    decode(ids, options) {
      const pieces = stream(options)
      return Array.from(ids, pieces.push).join('') + pieces.end()
    },
    stream,
  }
}

/** The files of a tokenizer, by priority. */
export const tokenizerFiles: readonly string[] = ['vocab.json', 'merges.txt', 'tokenizer.json']

/**
 * The tokenizer of a model's folder: `vocab.json` with `merges.txt`, else `tokenizer.json`, else null.
 * @throws InputError TOKENIZER_FILES if only one of the pair is there, and as `vocabulary.ts` says.
 */
export async function openTokenizer(folder: string): Promise<Tokenizer | null> {
  const [vocab, merges, whole] = tokenizerFiles.map((name) => joinPath(folder, name))
  const [hasVocab, hasMerges, hasWhole] = await Promise.all(
    [vocab, merges, whole].map((path) => isThere(path)),
  )
  if (hasVocab && hasMerges) {
    return createTokenizer(parseVocabularyFiles(await readWhole(vocab), await readWhole(merges)))
  }
  if (hasWhole) return createTokenizer(parseTokenizerJson(await readWhole(whole)))
  if (hasVocab || hasMerges) {
    throw refusal(
      'TOKENIZER_FILES',
      folder,
      'both vocab.json and merges.txt',
      `only ${hasVocab ? 'the first' : 'the second'}`,
    )
  }
  return null
}

/**
 * The description for the library. It has no added tokens, because the library would find them in the text: "</s>" in a user's
 * text would become the end token.
 */
function describe({ ids, merges }: Vocabulary): object {
  const vocab: Record<string, number> = Object.create(null)
  for (const [token, id] of ids) vocab[token] = id
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', unk_token: '<unk>', vocab, merges },
  }
}
