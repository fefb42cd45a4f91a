/**
 * Writes a vocabulary as `tokenizer.json`. `tokenizer_json.ts` reads the same vocabulary back, and Hugging Face's libraries give
 * the same ids.
 */
import { mergesOf } from './piece_merges.ts'
import { SPACE_MARK, splitPatterns, type PatternName, type Spelling, type Vocabulary } from './vocabulary.ts'

/** The text of a `tokenizer.json`. */
export function encodeTokenizerJson(vocabulary: Vocabulary): string {
  const { ids, special, spelling } = vocabulary
  const isByteLevel = spelling.kind === 'byte_level'
  const whole = new Set(isByteLevel ? [] : spelling.whole)
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...ids]
      .filter(([token]) => special.has(token) || whole.has(token))
      .toSorted(([, a], [, b]) => a - b)
      .map(([content, id]) => addedToken(content, id, special.has(content))),
    normalizer: normalizerOf(vocabulary),
    pre_tokenizer: isByteLevel
      ? { type: 'Sequence', pretokenizers: [...spelling.patterns.map(splitterOf), byteLevel] }
      : metaspaceOf(spelling),
    post_processor: templateOf(vocabulary),
    decoder: isByteLevel
      ? { ...byteLevel, add_prefix_space: true, use_regex: true }
      : decoderOf(spelling.space),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: !isByteLevel,
      byte_fallback: !isByteLevel,
      ignore_merges: isByteLevel && spelling.ignoreMerges,
      vocab: Object.fromEntries(ids),
      merges: mergesOf(vocabulary),
    },
  }
  return `${JSON.stringify(json)}\n`
}

function addedToken(content: string, id: number, special: boolean): object {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }
}

function normalizerOf({ spelling }: Vocabulary): object | null {
  if (spelling.kind === 'byte_level') return spelling.composed ? { type: 'NFC' } : null
  const marks = { type: 'Replace', pattern: { String: ' ' }, content: SPACE_MARK }
  if (spelling.space === 'never') return marks
  // Here the splitter puts the space.
  if (spelling.space === 'unlessThere') return null
  return { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE_MARK }, marks] }
}

function metaspaceOf({ space, onlyFirst }: Spelling & { kind: 'byte_fallback' }): object | null {
  if (space !== 'unlessThere') return null
  const prepend_scheme = onlyFirst ? 'first' : 'always'
  return { type: 'Metaspace', replacement: SPACE_MARK, prepend_scheme, split: false }
}

function splitterOf(name: PatternName): object {
  if (name === 'digit' || name === 'digits') return { type: 'Digits', individual_digits: name === 'digit' }
  return { type: 'Split', pattern: { Regex: splitPatterns[name] }, behavior: 'Isolated', invert: false }
}

function decoderOf(space: 'always' | 'unlessThere' | 'never'): object {
  const decoders: object[] = [
    { type: 'Replace', pattern: { String: SPACE_MARK }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ]
  if (space !== 'never') decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 })
  return { type: 'Sequence', decoders }
}

/** The ids around a text. */
function templateOf({ ids, prefix, suffix }: Vocabulary): object {
  const names = new Map([...ids].map(([token, id]) => [id, token]))
  const part = (id: number): object => ({ SpecialToken: { id: names.get(id), type_id: 0 } })
  const special = [...new Set([...prefix, ...suffix])].map((id) => {
    const name = names.get(id) as string
    return [name, { id: name, ids: [id], tokens: [name] }]
  })
  return {
    type: 'TemplateProcessing',
    single: [...prefix.map(part), { Sequence: { id: 'A', type_id: 0 } }, ...suffix.map(part)],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: Object.fromEntries(special),
  }
}
