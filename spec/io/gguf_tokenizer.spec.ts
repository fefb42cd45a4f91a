/**
 * Vocabularies of GGUF files: the known ids of 275 texts, and of 283 for Gemma, on which llama.cpp, tokenizers and sentencepiece agree, and the
 * vocabulary that the model's tokenizer.json has.
 *
 * Tests src/io/gguf_entries.ts and src/io/piece_merges.ts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGgufHeader, type GgufValue } from '../../src/io/gguf.ts'
import { GgufEntries } from '../../src/io/gguf_entries.ts'
import { readGgufVocabulary } from '../../src/io/gguf_tokenizer.ts'
import { mergesOf } from '../../src/io/piece_merges.ts'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import type { Vocabulary } from '../../src/io/vocabulary.ts'
import { knownTextsOf } from './known_texts.ts'
import { killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import fc from 'fast-check'

const folder = fileURLToPath(new URL('../../fixtures/tokenizers', import.meta.url))
const names = ['gpt-2', 'smollm', 'llama-bpe', 'qwen2', 'spm', 'gemma'] as const
type Name = (typeof names)[number]

async function entriesOf(name: Name): Promise<ReadonlyMap<string, GgufValue>> {
  const file = bytesAsFile(readFileSync(join(folder, `${name}.gguf`)))
  return (await readGgufHeader(file, name)).entries
}
const all = new Map<Name, ReadonlyMap<string, GgufValue>>()
for (const name of names) all.set(name, await entriesOf(name))
const fileOf = (name: Name): ReadonlyMap<string, GgufValue> => all.get(name) as ReadonlyMap<string, GgufValue>

type Read = (entries: ReadonlyMap<string, GgufValue>) => Vocabulary
const read: Read = (entries) => readGgufVocabulary(new GgufEntries(entries, 'file'), 'file') as Vocabulary

const knownTexts = lawForAll(
  'known texts have their ids and come back',
  { name: fc.constantFrom(...names) },
  (judged: Read, { name }) => {
    const tokenizer = createTokenizer(judged(fileOf(name)))
    const isMarked = name === 'spm' || name === 'gemma'
    for (const { text, ids } of knownTextsOf(name)) {
      expect(tokenizer.encode(text, { prefix: false }), JSON.stringify(text)).toEqual(ids)
      if (!isMarked || !text.includes('\u2581')) expect(tokenizer.decode(ids)).toBe(text)
    }
  },
  { runs: 1, examples: names.map((name) => ({ name })) },
)
stateLaw(knownTexts, read)

const sameAsJson = lawForAll(
  'ids, merges, special tokens and what comes before a text are those of tokenizer.json',
  { name: fc.constantFrom(...names) },
  (judged: Read, { name }) => {
    const json = parseTokenizerJson(readFileSync(join(folder, `${name}.tokenizer.json`)))
    const vocabulary = judged(fileOf(name))
    const { ids, special, spelling, prefix, suffix } = vocabulary
    const merges = mergesOf(vocabulary)
    // Of what is cut out of a text no pair is merged, whether a file has the merge or not.
    const whole = new Set(json.spelling.kind === 'byte_fallback' ? json.spelling.whole : [])
    const merged = mergesOf(json).filter((pair) =>
      [...pair, pair.join('')].every((token) => !whole.has(token)),
    )
    expect([ids, merges, special]).toEqual([json.ids, merged, json.special])
    // llama.cpp takes a word of Llama 3 whole if it is a token, and puts the first token before its texts.
    const isLlama3 = name === 'llama-bpe'
    expect(spelling).toEqual(isLlama3 ? { ...json.spelling, ignoreMerges: true } : json.spelling)
    // A file of Gemma's kind from Hugging Face need not say that a text begins with <s>.
    const begins = name === 'gemma' ? [2] : json.prefix
    expect([prefix, suffix]).toEqual([isLlama3 ? [1] : begins, json.suffix])
  },
  { runs: 1, examples: names.map((name) => ({ name })) },
)
stateLaw(sameAsJson, read)

/** Entries of a file with some changed; undefined takes one away. */
function changed(
  name: Name,
  changes: Readonly<Record<string, GgufValue | undefined>>,
): Map<string, GgufValue> {
  const entries = new Map(fileOf(name))
  for (const [key, value] of Object.entries(changes))
    if (value === undefined) entries.delete(`tokenizer.ggml.${key}`)
    else entries.set(`tokenizer.ggml.${key}`, value)
  return entries
}

test('tokens of start and end are added as the file says', () => {
  expect(read(changed('smollm', { add_bos_token: true, add_eos_token: true }))).toMatchObject({
    prefix: [1],
    suffix: [2],
  })
  expect(read(changed('llama-bpe', { add_bos_token: false })).prefix).toEqual([])
  expect(read(changed('spm', { add_bos_token: undefined })).prefix).toEqual([1])
  expect(read(changed('spm', { add_space_prefix: false })).spelling).toEqual({
    kind: 'byte_fallback',
    space: 'never',
  })
})

test('a file without a vocabulary has none', () => {
  expect(readGgufVocabulary(new GgufEntries(new Map(), 'file'), 'file')).toBeNull()
})

test.each<[Name, Record<string, GgufValue | undefined>, string, string]>([
  [
    'gpt-2',
    { model: 'bert' },
    'GGUF_UNSUPPORTED',
    'file "tokenizer.ggml.model": expected gpt2 or llama, got "bert"',
  ],
  [
    'gpt-2',
    { pre: 'deepseek-llm' },
    'GGUF_UNSUPPORTED',
    'file "tokenizer.ggml.pre": expected gpt-2 or smollm or llama-bpe or qwen2, got "deepseek-llm"',
  ],
  ['gpt-2', { pre: undefined }, 'GGUF_ENTRY', 'file "tokenizer.ggml.pre": expected text, got nothing'],
  [
    'spm',
    { scores: new Float32Array(3) },
    'GGUF_ENTRY',
    'file "tokenizer.ggml.scores": expected a list of 700 numbers, got a list of 3',
  ],
  [
    'spm',
    { bos_token_id: 700 },
    'TOKENIZER_VOCAB',
    'file tokenizer.ggml.bos_token_id: expected an id from 0 to 699, got 700',
  ],
])('%s with %j is refused by name', (name, changes, code, message) => {
  expect(() => read(changed(name, changes))).toThrow(expect.objectContaining({ code, message }) as Error)
})

describe('mutants are killed:', () => {
  const of =
    (change: (vocabulary: Vocabulary) => Partial<Vocabulary>): Read =>
    (entries) => {
      const vocabulary = read(entries)
      return { ...vocabulary, ...change(vocabulary) }
    }
  killsByLaw<'knownTexts' | 'sameAsJson', Read>(
    { knownTexts, sameAsJson },
    {
      knownTexts: {
        'merges of scores from the lowest up': of((vocabulary) =>
          vocabulary.spelling.kind === 'byte_fallback' ? { merges: mergesOf(vocabulary).toReversed() } : {},
        ),
        'what is cut out of a text is merged': of(({ spelling }) =>
          spelling.kind === 'byte_fallback' ? { spelling: { ...spelling, whole: [] } } : {},
        ),
        'no space before a text': of(({ spelling }) =>
          spelling.kind === 'byte_fallback' ? { spelling: { ...spelling, space: 'never' } } : {},
        ),
      },
      sameAsJson: {
        'merges of equal scores in the order of the vocabulary': of(({ ids, ...rest }) =>
          rest.spelling.kind === 'byte_fallback'
            ? {
                merges: mergesOf(rest).toSorted(
                  (a, b) =>
                    (ids.get(a.join('')) as number) - (ids.get(b.join('')) as number) ||
                    (a[0] < b[0] ? -1 : 1),
                ),
              }
            : {},
        ),
        'digits not split off by smollm': of(({ spelling }) =>
          spelling.kind === 'byte_level'
            ? { spelling: { ...spelling, patterns: spelling.patterns.filter((one) => one !== 'digit') } }
            : {},
        ),
        'control tokens as text': of(() => ({ special: new Set() })),
        'no token before a text': of(() => ({ prefix: [] })),
      },
    },
  )
})
