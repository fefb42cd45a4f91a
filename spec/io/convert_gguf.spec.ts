/**
 * A GGUF file converted to safetensors is the same model: configuration, numbers, tokenizer and chat template, in files that
 * Hugging Face's libraries read.
 *
 * Tests src/io/tokenizer_json_writer.ts.
 */
import fc from 'fast-check'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/engine/config.ts'
import { convertCheckpoint } from '../../src/io/convert.ts'
import { openModelFolder, type ModelFolder } from '../../src/io/load.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { encodeTokenizerJson } from '../../src/io/tokenizer_json_writer.ts'
import type { Vocabulary } from '../../src/io/vocabulary.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const models = join(fixtures, 'golden-llama/gguf/models')
const root = temporaryFolder()
let count = 0

/** Opens what a converter makes of a file. */
type Convert = (from: string) => Promise<ModelFolder>

/** @param change made to the folder before it is opened */
const converter =
  (change: (folder: string) => void = () => {}): Convert =>
  async (from) => {
    const to = join(root, `${count++}`)
    await convertCheckpoint(from, to)
    change(to)
    return openModelFolder(to)
  }

const sameModel = lawForAll(
  'the folder has the configuration, the numbers and the tokenizer of the file',
  { name: fc.constantFrom(...readdirSync(models)) },
  async (judged: Convert, { name }) => {
    const before = await openModelFolder(join(models, name))
    const after = await judged(join(models, name))
    try {
      expect(parseConfig(after.configJson)).toEqual(parseConfig(before.configJson))
      expect([...after.source.tensors.keys()].toSorted()).toEqual(
        [...before.source.tensors.keys()].toSorted(),
      )
      for (const { name: tensor, dtype } of before.source.tensors.values()) {
        sameBits(tensor, await after.source.read(tensor), await before.source.read(tensor))
        expect(after.source.tensors.get(tensor)?.dtype).toBe(dtype)
      }
      const ids = Array.from({ length: 96 }, (_, id) => id)
      expect(after.tokenizer?.decode(ids)).toBe(before.tokenizer?.decode(ids))
      expect(after.tokenizer?.encode('a that')).toEqual(before.tokenizer?.encode('a that'))
    } finally {
      await before.source.close()
      await after.source.close()
    }
  },
  { runs: 3, examples: readdirSync(models).map((name) => ({ name })) },
)
stateLaw(sameModel, converter())

test('one file gets the tensors only', async () => {
  const to = join(root, 'one.safetensors')
  const { files, tensors } = await convertCheckpoint(join(models, 'llama_mha.F32.gguf'), to)
  expect([files.map(({ name }) => name), tensors]).toEqual([['one.safetensors'], 30])
})

const spellings: fc.Arbitrary<Vocabulary['spelling']> = fc.oneof(
  fc.record({
    kind: fc.constant('byte_level' as const),
    composed: fc.boolean(),
    patterns: fc.subarray(['digit', 'digits', 'gpt-2', 'llama-bpe', 'qwen2'] as const, { minLength: 1 }),
    ignoreMerges: fc.boolean(),
  }),
  fc.constantFrom(
    { kind: 'byte_fallback', space: 'always' } as const,
    { kind: 'byte_fallback', space: 'unlessThere' } as const,
    { kind: 'byte_fallback', space: 'unlessThere', onlyFirst: true } as const,
    { kind: 'byte_fallback', space: 'never' } as const,
    { kind: 'byte_fallback', space: 'never', whole: ['e', 'E'] } as const,
  ),
)
const vocabularyOf = (name: string): Vocabulary =>
  parseTokenizerJson(readFileSync(join(fixtures, 'tokenizers', `${name}.tokenizer.json`)))
const [bytes, pieces] = [vocabularyOf('smollm'), vocabularyOf('spm')]

const comesBack = lawForAll(
  'a vocabulary written as tokenizer.json is read back',
  {
    spelling: spellings,
    prefix: fc.array(fc.nat(2), { maxLength: 3 }),
    suffix: fc.array(fc.nat(2), { maxLength: 2 }),
  },
  (judged: typeof encodeTokenizerJson, { spelling, prefix, suffix }) => {
    const vocabulary = { ...(spelling.kind === 'byte_level' ? bytes : pieces), spelling, prefix, suffix }
    expect(parseTokenizerJson(new TextEncoder().encode(judged(vocabulary)))).toEqual(vocabulary)
  },
)
stateLaw(comesBack, encodeTokenizerJson)

test.each(['gpt-2', 'smollm', 'llama-bpe', 'qwen2', 'spm', 'gemma'])(
  '%s is written with the model that its file from Hugging Face has',
  (name) => {
    const modelOf = (json: string): object => (JSON.parse(json) as { model: object }).model
    const file = modelOf(readFileSync(join(fixtures, 'tokenizers', `${name}.tokenizer.json`), 'utf8'))
    // Every byte has a token, so no text has an unknown one.
    expect(modelOf(encodeTokenizerJson(vocabularyOf(name)))).toEqual({ ...file, unk_token: null })
  },
)

describe('mutants are killed:', () => {
  const withJson = (name: string, change: (json: Record<string, unknown>) => void): Convert =>
    converter((folder) => {
      const json = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>
      change(json)
      writeFileSync(join(folder, name), JSON.stringify(json))
    })
  killsEach('%s', sameModel, {
    'no tokenizer': converter((folder) => rmSync(join(folder, 'tokenizer.json'))),
    'the usual epsilon': withJson('config.json', (json) => delete json.rms_norm_eps),
    'rotations not scaled': withJson('config.json', (json) => delete json.rope_scaling),
    'a head of its own taken for a tied one': withJson(
      'config.json',
      (json) => (json.tie_word_embeddings = true),
    ),
  })

  const changed =
    (change: (json: Record<string, never>) => void): typeof encodeTokenizerJson =>
    (vocabulary) => {
      const json = JSON.parse(encodeTokenizerJson(vocabulary)) as Record<string, never>
      change(json)
      return JSON.stringify(json)
    }
  killsEach('%s', comesBack, {
    'no template': changed((json) => delete json.post_processor),
    'no normalizer': changed((json) => (json.normalizer = null as never)),
    'words that are tokens merged': changed(
      (json) => ((json.model as { ignore_merges: boolean }).ignore_merges = false),
    ),
    'the last merge lost': changed((json) => (json.model as { merges: unknown[] }).merges.pop()),
    'special tokens as text': changed((json) => (json.added_tokens = [] as never)),
  })
})
