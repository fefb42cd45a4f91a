/**
 * Reading requests: the same on every thread, and bounded before the work.
 *
 * Tests src/server/amounts.ts and src/server/packed_model.ts too.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { mergesOf } from '../../src/io/piece_merges.ts'
import { createTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { amounts, charactersThatFit, type AmountName } from '../../src/server/amounts.ts'
import { packModel, unpackModel } from '../../src/server/packed_model.ts'
import { RequestReader, type ReadingModel } from '../../src/server/reading.ts'
import { bodies, type BodyName } from '../../src/server/requests.ts'
import { chatMl } from '../library/chat_model.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const smollm = new URL('../../fixtures/tokenizers/smollm.tokenizer.json', import.meta.url)
const tokenizer = createTokenizer(parseTokenizerJson(readFileSync(smollm)))
const model: ReadingModel = {
  tokenizer,
  chatTemplate: { source: chatMl, bosToken: null, eosToken: '<|im_end|>' },
  names: ['tiny', '/models/tiny'],
  vocabulary: tokenizer.vocabularySize,
  positions: 64,
}

const bytesOf = (body: object): Uint8Array => new TextEncoder().encode(JSON.stringify(body))

/** What came of reading: the reading, or the code of the refusal. */
function outcome(reader: RequestReader, name: BodyName, body: object, renders = true): unknown {
  try {
    return reader.read(name, bytesOf(body), renders)
  } catch (error) {
    if (error instanceof ShadowError) return error.code
    throw error
  }
}

// ---- On every thread -------------------------------------------------------------------------------------------------

const someText = fc.oneof(
  fc.constantFrom('The captain', '<|im_end|>', '', ' a\n'),
  fc.string({ maxLength: 20 }),
)
const someRequest: fc.Arbitrary<readonly [BodyName, object]> = fc
  .oneof(
    fc.record({ prompt: fc.oneof(someText, fc.array(someText, { maxLength: 3 })), echo: fc.boolean() }),
    fc.record({
      prompt: fc.array(fc.nat(3000), { maxLength: 4 }),
      echo: fc.boolean(),
      max_tokens: fc.nat(70),
    }),
  )
  .map((body) => ['completion', body] as const)
const someMessages = fc.record({
  messages: fc.array(fc.record({ role: fc.constantFrom('user', 'assistant', 'a b'), content: someText }), {
    maxLength: 3,
  }),
})
const anyRequest = fc.oneof(
  someRequest,
  someMessages.map((body) => ['chat', body] as const),
  fc.oneof(fc.record({ prompt: someText }), someMessages).map((body) => ['tokenize', body] as const),
  fc
    .record({ tokens: fc.array(fc.nat(3000), { maxLength: 6 }) })
    .map((body) => ['detokenize', body] as const),
)

const here = new RequestReader(model)
const isTheSame = lawForAll(
  'a packed model reads every request as the model itself',
  { request: anyRequest },
  (there: RequestReader, { request: [name, body] }) =>
    expect(outcome(there, name, body)).toEqual(outcome(here, name, body)),
)
const unpacked = unpackModel(packModel(model))
stateLaw(isTheSame, new RequestReader(unpacked))

describe('a model that is packed in part is found', () => {
  const { vocabulary } = unpacked.tokenizer
  test.each<[string, ReadingModel]>([
    ['fewer positions', { ...unpacked, positions: 63 }],
    ['no template', { ...unpacked, chatTemplate: null }],
    ['a smaller vocabulary', { ...unpacked, vocabulary: unpacked.vocabulary - 1000 }],
    ['no special tokens', packedWith({ special: new Set<string>() })],
    ['no merges', packedWith({ merges: mergesOf(vocabulary).slice(0, 10) })],
  ])('%s', (_, changed) => kills(isTheSame, new RequestReader(changed)))

  function packedWith(change: Partial<Tokenizer['vocabulary']>): ReadingModel {
    const changed = { ...model.tokenizer, vocabulary: { ...vocabulary, ...change } }
    return unpackModel(packModel({ ...model, tokenizer: changed as Tokenizer }))
  }
})

// ---- Before the work -------------------------------------------------------------------------------------------------

describe('what is too much is refused before it is made tokens', () => {
  const encoded: number[] = []
  const counting: Tokenizer = Object.assign(Object.create(tokenizer) as Tokenizer, {
    encode: (text: string, options?: object) => {
      encoded.push(text.length)
      return tokenizer.encode(text, options)
    },
  })
  const reader = new RequestReader({ ...model, tokenizer: counting })
  const fits = charactersThatFit(model.positions, tokenizer)

  test.each<[string, BodyName, object, string]>([
    ['a text that cannot fit', 'completion', { prompt: 'a'.repeat(fits + 1) }, 'CONTEXT_LENGTH'],
    ['a text among others', 'completion', { prompt: ['a'.repeat(fits + 1)] }, 'CONTEXT_LENGTH'],
    [
      'a chat that cannot fit',
      'chat',
      { messages: [{ role: 'user', content: 'a'.repeat(fits) }] },
      'CONTEXT_LENGTH',
    ],
    [
      'a text to be tokenized',
      'tokenize',
      { prompt: 'a'.repeat(amounts.characters.most + 1) },
      'TEXT_LENGTH',
    ],
    ['texts', 'completion', { prompt: Array.from({ length: 129 }, () => 'a') }, 'CHOICES'],
    ['texts and n', 'completion', { prompt: ['a', 'b'], n: 65 }, 'CHOICES'],
    [
      'messages',
      'chat',
      { messages: Array.from({ length: amounts.messages.most + 1 }, () => ({ role: 'u', content: '' })) },
      'MESSAGES',
    ],
    [
      'messages to be tokenized',
      'tokenize',
      { messages: Array.from({ length: amounts.messages.most + 1 }, () => 0) },
      'MESSAGES',
    ],
  ])('%s', (_, name, body, code) => {
    encoded.length = 0
    expect(outcome(reader, name, body)).toBe(code)
    expect(encoded).toEqual([])
  })

  test.each<[string, BodyName, object]>([
    ['a text that might fit', 'completion', { prompt: 'a'.repeat(fits) }],
    ['a text to be tokenized', 'tokenize', { prompt: ' a'.repeat(2 ** 10) }],
    ['texts', 'completion', { prompt: Array.from({ length: 128 }, () => 'a') }],
  ])('%s is made tokens at the limit', (_, name, body) => {
    encoded.length = 0
    outcome(reader, name, body)
    expect(encoded.length).toBeGreaterThan(0)
  })

  test('every text that fits has fewer characters than can fit', () => {
    const longest = Math.max(
      ...Array.from({ length: tokenizer.vocabularySize }, (_, id) => tokenizer.decode([id]).length),
    )
    expect(fits).toBeGreaterThanOrEqual(model.positions * longest)
  })

  test('no template is rendered where none may be', () => {
    const messages = [{ role: 'user', content: 'a' }]
    expect(outcome(reader, 'chat', { messages }, false)).toBe(null)
    expect(outcome(reader, 'tokenize', { messages }, false)).toBe(null)
    expect(outcome(reader, 'tokenize', { prompt: 'a' }, false)).not.toBe(null)
  })
})

// ---- Every field has a limit -----------------------------------------------------------------------------------------

/** Fields of text, of lists and of anything that name no limit. */
function unlimited(entries: v.ObjectEntries): string[] {
  return Object.entries(entries).flatMap(([field, entry]) => {
    const { amount } = v.getMetadata(entry) as { readonly amount?: AmountName }
    const kinds = kindsOf(entry)
    const inner = kinds.flatMap((kind) =>
      kind.entries && kind.type === 'object' ? unlimited(kind.entries) : [],
    )
    const grows = kinds.some(
      (kind) => kind.type === 'string' || kind.type === 'array' || kind.type === 'record' || isOpen(kind),
    )
    return [...(grows && amount === undefined ? [field] : []), ...inner.map((name) => `${field}.${name}`)]
  })
}

interface Kind {
  readonly type: string
  readonly entries?: v.ObjectEntries
  readonly wrapped?: Kind
  readonly options?: readonly Kind[]
  readonly item?: Kind
}

/** A schema, with those inside it that are no fields of an object. */
function kindsOf(schema: unknown): Kind[] {
  const kind = schema as Kind
  const inner = [kind.wrapped, kind.item, ...(Array.isArray(kind.options) ? kind.options : [])]
  return [kind, ...inner.filter((one) => typeof one === 'object').flatMap(kindsOf)]
}

/** Whether a check by a function takes a long text or list. */
function isOpen(kind: Kind): boolean {
  if (kind.type !== 'custom') return false
  const long: unknown[] = [
    'a'.repeat(10_000),
    Array.from({ length: 10_000 }, () => 'a'),
    Array.from({ length: 10_000 }, () => 1),
    Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`a${i}`, 1])),
  ]
  return long.some((value) => v.is(schemaOf(kind), value))
}

const schemaOf = (kind: Kind): v.GenericSchema => kind as unknown as v.GenericSchema

describe('every field that can grow names its limit', () => {
  test.each(Object.entries(bodies))('%s', (_, { entries }) => expect(unlimited(entries)).toEqual([]))

  test('a text, a list, a record, a check and a field of messages without one are found', () => {
    expect(
      unlimited({
        a: v.string(),
        b: v.nullish(v.array(v.number())),
        c: v.record(v.string(), v.unknown()),
        d: v.custom(Array.isArray),
        e: v.array(v.object({ f: v.string(), g: v.number() })),
        h: v.pipe(v.string(), v.metadata({ amount: 'bytes' })),
        i: v.number(),
      }),
    ).toEqual(['a', 'b', 'c', 'd', 'e', 'e.f'])
  })
})
