/**
 * The strict JSON reader: what it accepts means what JSON.parse says it means, and it accepts nothing that has two
 * readings.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson, toPlain, type JsonValue } from '../../src/io/json.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'
import { concat } from '../../fixtures/hostile/bytes.ts'
import { answerOf, refusalOf } from './hostile.ts'

const read = (text: string): JsonValue => parseJson(concat(text), 'file.json')

/** Maps as entries, so that "__proto__" and the order of keys count. */
function shown(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shown)
  if (value instanceof Map) return { object: [...value].map(([key, item]) => [key, shown(item)]) }
  if (typeof value === 'object' && value !== null) {
    return { object: Object.entries(value).map(([key, item]) => [key, shown(item)]) }
  }
  return value
}

describe('accepted JSON', () => {
  const words = fc.constantFrom(
    ...'{}[]:,"\\ \n-+.0123456789eEuabdfnrtlsx\ud83d\ude00é',
    'true',
    '\\ud83d\\ude00',
    '"a":',
  )
  const almostJson = fc.array(words, { maxLength: 20 }).map((list) => list.join(''))

  law(
    'any JSON is read as it was written',
    { value: fc.jsonValue({ noUnicodeString: false }), indent: fc.nat(2) },
    ({ value, indent }) => {
      const text = JSON.stringify(value, null, indent)
      fc.pre(text.isWellFormed() && !/\\u[dD][89a-fA-F]/.test(text) && !hasWideInteger(value))
      expect(shown(read(text))).toEqual(shown(JSON.parse(text)))
      expect(shown(toPlain(read(text)))).toEqual(shown(JSON.parse(text)))
    },
  )

  law(
    'accepted text is accepted by JSON.parse with the same value',
    { text: almostJson },
    async ({ text }) => {
      fc.pre(text.isWellFormed())
      const answer = await answerOf(() => read(text))
      if (!(answer instanceof InputError)) expect(shown(answer)).toEqual(shown(JSON.parse(text)))
    },
    {
      runs: 2000,
      examples: [{ text: '{"__proto__":{"a":1},"b":[-0,1.5e3,"\\u00e9\\/"]}' }, { text: '"\\ud83d\\ude00"' }],
    },
  )

  test('an object has no prototype, and keys that other objects inherit are keys', () => {
    const plain = toPlain(read('{"__proto__":{"polluted":1},"constructor":2}')) as Record<string, unknown>
    expect(Object.getPrototypeOf(plain)).toBeNull()
    expect(Object.keys(plain)).toEqual(['__proto__', 'constructor'])
    expect(plain.toString).toBeUndefined()
    expect(Object.prototype).not.toHaveProperty('polluted')
  })
})

function hasWideInteger(value: unknown): boolean {
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value)
  return typeof value === 'object' && value !== null && Object.values(value).some(hasWideInteger)
}

describe('refused JSON', () => {
  test.each([
    ['JSON_DUPLICATE', '{"a":1,"a":1}', 7],
    ['JSON_DUPLICATE', '{"\\u0061":1,"a":1}', 12],
    ['JSON_DEPTH', '['.repeat(65), 64],
    ['JSON_NUMBER', '9007199254740993', 0],
    ['JSON_NUMBER', '[1e999]', 1],
    ['JSON_NUMBER', '01', 0],
    ['JSON_NUMBER', '1.', 0],
    ['JSON_SURROGATE', '"\\ud800"', 1],
    ['JSON_SURROGATE', '"\\ud800\\u0061"', 1],
    ['JSON_SYNTAX', '', 0],
    ['JSON_SYNTAX', '"a', 2],
    ['JSON_SYNTAX', '"\t"', 1],
    ['JSON_SYNTAX', "{'a':1}", 1],
    ['JSON_SYNTAX', '{a:1}', 1],
    ['JSON_SYNTAX', '[1,]', 3],
    ['JSON_SYNTAX', '[1 2]', 3],
    ['JSON_SYNTAX', '1 2', 2],
    ['JSON_SYNTAX', 'NaN', 0],
    ['JSON_SYNTAX', '/**/1', 0],
    ['JSON_SYNTAX', '\u00a01', 0],
    ['JSON_SYNTAX', '"\\u12g4"', 3],
  ])('%s: %s at byte %i', async (code, text, byteOffset) => {
    const error = await refusalOf(() => read(text))
    expect(error.code).toBe(code)
    expect(error.byteOffset).toBe(byteOffset)
    expect(error.message).toContain(`file.json at byte ${byteOffset}: expected`)
  })

  test('large integers are rounded where the caller allows it, and nothing else is', async () => {
    const rounded = (text: string): unknown =>
      parseJson(new TextEncoder().encode(text), 'x', { numbers: 'rounded' })
    expect(rounded('[1000000000000000019884624838656, -9007199254740993, 0.5]')).toEqual([
      1e30,
      -(2 ** 53),
      0.5,
    ])
    for (const text of ['1e999', '01', `1${'0'.repeat(400)}`])
      expect((await refusalOf(() => rounded(text))).code).toBe('JSON_NUMBER')
  })

  test('invalid UTF-8 and a byte order mark are refused', async () => {
    expect((await refusalOf(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), 'x'))).code).toBe(
      'JSON_ENCODING',
    )
    expect((await refusalOf(() => parseJson(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'x'))).code).toBe(
      'JSON_ENCODING',
    )
    expect((await refusalOf(() => read('\ufeff1'))).code).toBe('JSON_BOM')
  })
})
