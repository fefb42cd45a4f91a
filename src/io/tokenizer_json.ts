/**
 * Reads `tokenizer.json`, the tokenizer of a model in Hugging Face's format.
 *
 * BPE of two kinds is supported (`vocabulary.ts`): byte-level with the patterns of `splitPatterns`, and byte fallback as
 * SentencePiece's models are converted to it. Everything else is refused by name: an unknown pattern too, because a pattern of
 * a stranger may take exponential time.
 *
 * Added tokens are special tokens here, whatever the file says of them: text never becomes one. Of byte fallback, those that the
 * file says are not special are cut out of a text as wholes.
 */
import * as v from 'valibot'
import { objectOf, parseJson, refuseJson, toPlain, type JsonMap, type JsonValue } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { checkSchema } from './schema.ts'
import {
  checkId,
  checkVocabulary,
  optPrefix,
  readIds,
  readPair,
  SPACE_MARK,
  specialTokens,
  splitPatterns,
  type PatternName,
  type Spelling,
  type Vocabulary,
} from './vocabulary.ts'

/**
 * Reads a `tokenizer.json`.
 * @throws InputError JSON_*, TOKENIZER_*; TOKENIZER_UNSUPPORTED names the unsupported feature.
 */
export function parseTokenizerJson(bytes: Uint8Array): Vocabulary {
  const name = 'tokenizer.json'
  const json = objectOf(parseJson(bytes, name), 'TOKENIZER_VOCAB', name)
  const model = objectOf(json.get('model'), 'TOKENIZER_VOCAB', `${name} model`)
  const plain = readSpelling(json, model)
  const ids = readIds(model.get('vocab'), `${name} vocab`)
  const { special, whole } = addTokens(ids, json.get('added_tokens'), plain)
  const spelling = whole.length > 0 ? { ...plain, whole } : plain
  const list = model.get('merges')
  if (!Array.isArray(list)) throw refuseJson('TOKENIZER_MERGES', `${name} merges`, 'a list', list)
  const merges = list.map((merge, i) => {
    const parts = typeof merge === 'string' ? merge.split(' ') : merge
    return readPair(Array.isArray(parts) ? parts : [parts], `${name} merge ${i + 1}`)
  })
  const around = readTemplate(json, ids, plain)
  return checkVocabulary({ ids, merges, special, spelling, ...around }, name)
}

/** Adds the added tokens; those of the vocabulary must have the same ids. */
function addTokens(
  ids: Map<string, number>,
  list: JsonValue | undefined,
  { kind }: Spelling,
): { readonly special: ReadonlySet<string>; readonly whole: readonly string[] } {
  const special = new Set(specialTokens)
  const whole: string[] = []
  if (list === undefined || list === null) return { special, whole }
  const name = 'tokenizer.json added_tokens'
  if (!Array.isArray(list)) throw refuseJson('TOKENIZER_VOCAB', name, 'a list', list)
  for (const item of list) {
    const content = item instanceof Map ? item.get('content') : undefined
    if (!(item instanceof Map) || typeof content !== 'string' || content === '') {
      throw refuseJson('TOKENIZER_VOCAB', name, 'objects with content and id', item)
    }
    const id = checkId(item.get('id'), () => `${name} ${quote(content)}`)
    const known = ids.get(content)
    if (known !== undefined && known !== id) {
      const expected = `id ${known} as in the vocabulary`
      throw refusal('TOKENIZER_VOCAB', `${name} ${quote(content)}`, expected, `${id}`)
    }
    ids.set(content, id)
    const isWhole = kind === 'byte_fallback' && item.get('special') === false && !special.has(content)
    if (isWhole) whole.push(content)
    else special.add(content)
  }
  return { special, whole }
}

// ---- What is supported ------------------------------------------------------------------------------------------

/** A part of the file by its schema. @throws InputError TOKENIZER_UNSUPPORTED */
function readPart<Output>(json: JsonMap, key: string, schema: v.GenericSchema<unknown, Output>): Output {
  const subject = `tokenizer.json ${key}`
  return checkSchema(schema, toPlain(json.get(key) ?? null), { code: 'TOKENIZER_UNSUPPORTED', subject })
}

function unsupported(place: string, expected: string, got: string): Error {
  return refusal('TOKENIZER_UNSUPPORTED', `tokenizer.json ${place}`, expected, got)
}

const type = <const Name extends string>(name: Name) => v.literal(name, `"${name}"`)
const absent = v.nullish(v.literal('', 'none'))

const modelOptions = v.object({
  type: type('BPE'),
  dropout: v.nullish(v.literal(0, 'none')),
  continuing_subword_prefix: absent,
  end_of_word_suffix: absent,
  byte_fallback: v.nullish(v.boolean()),
  ignore_merges: v.nullish(v.boolean()),
})

function readSpelling(json: JsonMap, model: JsonMap): Spelling {
  const options = new Map([...model].filter(([key]) => key in modelOptions.entries))
  const { byte_fallback, ignore_merges } = readPart(new Map([['model', options]]), 'model', modelOptions)
  if (!byte_fallback) return readByteLevel(json, ignore_merges ?? false)
  if (ignore_merges) throw unsupported('model.ignore_merges', 'none with byte_fallback', 'true')
  return readByteFallback(json)
}

const nfc = v.object({ type: type('NFC') })
const digits = v.object({ type: v.literal('Digits'), individual_digits: v.boolean() })
const split = v.object({
  type: v.literal('Split'),
  pattern: v.object({
    Regex: v.picklist(Object.values(splitPatterns), 'a pattern of GPT-2, Llama 3 or Qwen2'),
  }),
  behavior: v.literal('Isolated', '"Isolated"'),
  invert: v.literal(false, 'false'),
})
const byteLevel = v.object({
  type: v.literal('ByteLevel'),
  add_prefix_space: v.literal(false, 'false'),
  use_regex: v.optional(v.boolean(), true),
})
const pretokenizers = v.array(v.variant('type', [digits, split, byteLevel]))
const cutting = v.variant('type', [byteLevel, v.object({ type: v.literal('Sequence'), pretokenizers })])

function readByteLevel(json: JsonMap, ignoreMerges: boolean): Spelling {
  const normalizer = readPart(json, 'normalizer', v.nullable(nfc))
  readPart(json, 'decoder', v.nullable(v.object({ type: type('ByteLevel') })))
  const found = readPart(json, 'pre_tokenizer', cutting)
  const list = found.type === 'Sequence' ? found.pretokenizers : [found]
  if (list.findIndex((step) => step.type === 'ByteLevel') !== list.length - 1) {
    const got = list.map((step) => step.type).join() || 'nothing'
    throw unsupported('pre_tokenizer', 'ByteLevel once, at the end', got)
  }
  const patterns = list.flatMap((step): PatternName[] => {
    if (step.type === 'Digits') return [step.individual_digits ? 'digit' : 'digits']
    if (step.type === 'ByteLevel') return step.use_regex ? ['gpt-2'] : []
    const names = Object.keys(splitPatterns) as PatternName[]
    return names.filter((name) => splitPatterns[name] === step.pattern.Regex)
  })
  if (patterns.length === 0) throw unsupported('pre_tokenizer.use_regex', 'true', 'false')
  return { kind: 'byte_level', composed: normalizer !== null, patterns, ignoreMerges }
}

const replace = (from: string, to: string) =>
  v.object({
    type: type('Replace'),
    pattern: v.object({ String: v.literal(from, quote(from)) }),
    content: v.literal(to, quote(to)),
  })
const prepend = v.object({ type: type('Prepend'), prepend: v.literal(SPACE_MARK, quote(SPACE_MARK)) })
const marks = replace(' ', SPACE_MARK)
const markSpaces = v.variant('type', [
  v.object({ type: v.literal('Sequence'), normalizers: v.strictTuple([prepend, marks]) }),
  marks,
])
const metaspace = v.object({
  type: type('Metaspace'),
  replacement: v.literal(SPACE_MARK, quote(SPACE_MARK)),
  prepend_scheme: v.picklist(['first', 'always', 'never']),
  split: v.literal(false, 'false'),
})
/** Cuts at spaces, of which the normalizer leaves none. */
const nothing = v.object({
  type: type('Split'),
  pattern: v.object({ String: v.literal(' ', '" "') }),
  behavior: v.literal('MergedWithPrevious', '"MergedWithPrevious"'),
  invert: v.literal(false, 'false'),
})
const decode = [
  replace(SPACE_MARK, ' '),
  v.object({ type: type('ByteFallback') }),
  v.object({ type: type('Fuse') }),
] as const
const strip = v.object({
  type: type('Strip'),
  content: v.literal(' ', '" "'),
  start: v.literal(1, '1'),
  stop: v.literal(0, '0'),
})

function readByteFallback(json: JsonMap): Spelling {
  const marked = readPart(json, 'normalizer', v.nullable(markSpaces))
  const cutter = readPart(json, 'pre_tokenizer', v.nullable(v.variant('type', [metaspace, nothing])))
  const splitter = cutter?.type === 'Metaspace' ? cutter : null
  if ((marked === null) === (splitter === null)) {
    const got = marked ? 'both' : 'neither'
    throw unsupported('pre_tokenizer', 'Metaspace, or a normalizer that replaces spaces', got)
  }
  const puts = splitter === null ? marked?.type === 'Sequence' : splitter.prepend_scheme !== 'never'
  const space = !puts ? 'never' : splitter === null ? 'always' : 'unlessThere'
  // What is put before a text is taken away again.
  const decoders = v.strictTuple(space === 'never' ? decode : [...decode, strip])
  readPart(json, 'decoder', v.object({ type: type('Sequence'), decoders }))
  const onlyFirst = splitter?.prepend_scheme === 'first'
  return { kind: 'byte_fallback', space, ...(onlyFirst && { onlyFirst }) }
}

// ---- Start and end ----------------------------------------------------------------------------------------------

const template = v.object({
  type: v.literal('TemplateProcessing'),
  single: v.array(
    v.union(
      [
        v.object({ SpecialToken: v.object({ id: v.string() }) }),
        v.object({ Sequence: v.object({ id: v.literal('A') }) }),
      ],
      'special tokens and sequence A',
    ),
  ),
  special_tokens: v.record(v.string(), v.object({ ids: v.array(v.number()) })),
})
const processor = v.variant('type', [template, v.object({ type: v.literal('ByteLevel') })])
const processors = v.array(processor)
const processing = v.variant('type', [processor, v.object({ type: v.literal('Sequence'), processors })])

/** The maximal number of ids around a text. */
const MAX_AROUND = 1024

/** The ids around a text: those of a template, else those of OPT, which is byte-level. */
function readTemplate(
  json: JsonMap,
  ids: ReadonlyMap<string, number>,
  { kind }: Spelling,
): Pick<Vocabulary, 'prefix' | 'suffix'> {
  const found = readPart(json, 'post_processor', v.nullable(processing))
  const list = found === null ? [] : found.type === 'Sequence' ? found.processors : [found]
  const [own, ...others] = list.filter((one) => one.type === 'TemplateProcessing')
  if (own === undefined) return { prefix: kind === 'byte_level' ? optPrefix(ids) : [], suffix: [] }
  const at = own.single.findIndex((part) => 'Sequence' in part)
  const known = new Set(ids.values())
  let left = MAX_AROUND
  const idsOf = (parts: typeof own.single): number[] =>
    parts.flatMap((part) => {
      const token = 'SpecialToken' in part ? part.SpecialToken.id : ''
      const found = Object.hasOwn(own.special_tokens, token) ? own.special_tokens[token].ids : []
      // Each part may name the same long list.
      left -= found.length
      if (left < 0)
        throw refusal('TOKENIZER_LIMIT', 'tokenizer.json post_processor', `at most ${MAX_AROUND} ids`, 'more')
      if (found.length > 0 && found.every((id) => known.has(id))) return found
      const expected = 'sequence A once, and special tokens with ids'
      throw refusal('TOKENIZER_VOCAB', 'tokenizer.json post_processor.single', expected, quote(token))
    })
  if (at === -1 || others.length > 0)
    throw unsupported('post_processor', 'one template with sequence A', 'another')
  return { prefix: idsOf(own.single.slice(0, at)), suffix: idsOf(own.single.slice(at + 1)) }
}
