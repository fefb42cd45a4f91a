/**
 * Text to token ids and back, as OPT does it: byte-level BPE with GPT-2's pre-tokenisation, one `</s>` in front.
 *
 * The splitting and merging is that of `@huggingface/tokenizers`, given a description built here from the
 * vocabulary's own files. Decoding is ours, because a stream of tokens must never show half a character.
 *
 * Invariants: decode(encode(text)) = text for every well-formed text; text that spells a special token is text, and
 * never becomes that token; time grows as n log n, on one character repeated too.
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

/** How a text is encoded. */
export interface EncodeOptions {
  /** Whether `</s>` comes first, as in all texts OPT was trained on; true unless told. */
  readonly prefix?: boolean
}

/** How ids are decoded. */
export interface DecodeOptions {
  /** Whether special tokens are left out rather than spelt; false unless told. */
  readonly skipSpecial?: boolean
}

/** Text from tokens that come one by one. */
export interface TextStream {
  /** The text that is certain now: whole characters only, maybe none. */
  push(id: number): string
  /** What is left: a replacement character if the tokens end inside one. */
  end(): string
}

/** Encodes text and decodes ids. */
export interface Tokenizer {
  /** One more than the largest id. A model may have more rows than that. */
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
  /** Ids without a token count as `<unk>`. @throws InputError TOKEN_ID for what is no integer from 0 on. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string
  /** Decoding of a stream: the pieces joined are what `decode` gives for all of it. */
  stream(options?: DecodeOptions): TextStream
}

/** A tokenizer from a checked vocabulary. */
export function createTokenizer(vocabulary: Vocabulary): Tokenizer {
  return new OptTokenizer(vocabulary)
}

/** The files a tokenizer can be read from, in the order they are looked for. */
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

class OptTokenizer implements Tokenizer {
  readonly vocabularySize: number
  readonly special: Tokenizer['special']
  private readonly library: Library
  private readonly bytes: Uint8Array[] = [] // by id; holes where an id has no token
  private readonly specialIds = new Set<number>()

  constructor(vocabulary: Vocabulary) {
    const encoder = new TextEncoder()
    for (const [token, id] of vocabulary.ids) {
      const special = vocabulary.special.has(token)
      this.bytes[id] = (special ? null : bytesOfToken(token)) ?? encoder.encode(token)
      if (special) this.specialIds.add(id)
    }
    this.vocabularySize = this.bytes.length
    const [beginning, padding, end, unknown] = specialTokens.map(
      (token) => vocabulary.ids.get(token) as number,
    )
    this.special = { beginning, padding, end, unknown }
    this.library = new Library(describe(vocabulary), { clean_up_tokenization_spaces: false })
  }

  encode(text: string, { prefix = true }: EncodeOptions = {}): number[] {
    if (!text.isWellFormed()) {
      const at = text.search(/\p{Surrogate}/u)
      throw refusal('TEXT_SURROGATE', 'text', 'well-formed Unicode', `half a surrogate pair at ${at}`)
    }
    const { ids } = this.library.encode(text, { add_special_tokens: false })
    if (prefix) ids.unshift(this.special.end)
    return ids
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = this.stream(options)
    const pieces: string[] = []
    for (const id of ids) pieces.push(stream.push(id))
    pieces.push(stream.end())
    return pieces.join('')
  }

  stream({ skipSpecial = false }: DecodeOptions = {}): TextStream {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      push: (id) => {
        const known = this.knownId(id)
        if (skipSpecial && this.specialIds.has(known)) return ''
        return decoder.decode(this.bytes[known], { stream: true })
      },
      end: () => decoder.decode(),
    }
  }

  private knownId(id: number): number {
    if (!Number.isInteger(id) || id < 0) throw refusal('TOKEN_ID', 'token', 'an integer from 0 on', `${id}`)
    return this.bytes[id] === undefined ? this.special.unknown : id
  }
}

/**
 * What `tokenizer.json` would say. There are no added tokens in it: the library would look for them in the text, and
 * "</s>" typed by somebody would end it.
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
