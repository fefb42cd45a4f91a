/**
 * JSON checked against a schema: what is within its bounds is read, the bounds too, and anything else is refused by name.
 */
import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import {
  checkSchema,
  numberBetween,
  parseBySchema,
  seedNumber,
  sha256Text,
  wholeNumber,
} from '../../src/io/schema.ts'
import { InputError, UsageError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'

const about = { code: 'CODE', subject: 'file' }

/** What is read, or the words of the refusal. */
function answerOf(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    expect(error).toBeInstanceOf(InputError)
    expect(error).toMatchObject({ code: 'CODE' })
    return (error as InputError).message
  }
}

/** What comes of JSON text with a value at `x` and at `inner.x`. */
function read(schema: v.GenericSchema, value: unknown): unknown {
  const object = v.object({ x: schema, inner: v.object({ x: schema }) })
  return answerOf(() => parseBySchema(object, JSON.stringify({ x: value, inner: { x: value } }), about))
}

/** A schema, values that are read as they are, and others, beside what is expected in their place. */
type Row = [
  what: string,
  schema: v.GenericSchema,
  good: readonly unknown[],
  bad: readonly unknown[],
  expected: string,
]

const others = [1.5, -1, null, 'a', '1', true, [], {}]
const hash = 'a1'.repeat(32)
const rows: readonly Row[] = [
  ['a whole number', wholeNumber(2, 5), [2, 3, 5], [1, 6, 2.5, ...others], 'a whole number from 2 to 5'],
  ['a seed', seedNumber, [0, 2 ** 32 - 1], [2 ** 32, ...others], 'a whole number from 0 to 4294967295'],
  [
    'a whole number or null',
    v.nullish(wholeNumber(2, 5), null),
    [2, 5, null],
    [1, 6, 2.5, 'a'],
    'a whole number from 2 to 5',
  ],
  ['a number', numberBetween(0.5, 1), [0.5, 0.75, 1], [0.4, 1.1, null, '1'], 'a number from 0.5 to 1'],
  ['one of some names', v.picklist(['a', 'b']), ['a', 'b'], ['c', null, 1], 'a or b'],
  ['a literal', v.literal('a'), ['a'], ['b', null, 1], 'a'],
  ['a hash', sha256Text, [hash], [hash.toUpperCase(), `${hash}0`, '', 1], '64 hexadecimal digits'],
  ['a list', v.array(v.string()), [[], ['a', '']], ['a', null, {}], 'a list'],
  ['a text', v.string(), ['', 'a'], [1, null, []], 'text'],
  ['a flag', v.boolean(), [true, false], ['true', 0, null], 'true or false'],
  ['an object', v.object({}), [{}], ['a', 1, null], 'an object'],
]

describe.each(rows)('%s', (_, schema, good, bad, expected) => {
  test('is read, up to its bounds', () => {
    for (const value of good) expect(read(schema, value)).toEqual({ x: value, inner: { x: value } })
  })

  test('is refused by name where it is anything else', () => {
    for (const value of bad) {
      const words = read(schema, value)
      expect(words).toMatch(/^file x: expected .*, got ./)
      expect(words).toContain(`file x: expected ${expected}, got `)
    }
  })

  test('is refused where it is missing, unless it may be null', () => {
    const isOptional = good.includes(null)
    const answer = read(schema, undefined)
    if (isOptional) expect(answer).toEqual({ x: null, inner: { x: null } })
    else expect(answer).toBe(`file x: expected ${expected}, got nothing`)
  })
})

test('the place of a fault is told by its path, and a key of the file is quoted', () => {
  const schema = v.object({ a: v.array(v.record(v.string(), v.object({ b: v.boolean() }))) })
  const told = (value: unknown): unknown => answerOf(() => checkSchema(schema, value, about))
  expect(told({ a: [{}, { 'x\n': { b: 1 } }] })).toBe(
    'file a.1."x\\n".b: expected true or false, got the number 1',
  )
  expect(told({ a: [{ x: {} }] })).toBe('file a.0.x.b: expected true or false, got nothing')
  expect(told({ a: [{ x: [] }] })).toBe('file a.0.x: expected an object, got a list')
  expect(told(3)).toBe('file: expected an object, got the number 3')
  expect(told([])).toBe('file: expected an object, got a list')
})

test('a missing text is refused, and options of a call are refused as such', () => {
  expect(answerOf(() => parseBySchema(v.object({}), undefined, about))).toBe(
    'file: expected a metadata entry, got none',
  )
  const options = { code: 'CODE', subject: '', error: UsageError }
  const check = (): unknown => checkSchema(v.object({ x: v.string() }), Object.freeze({}), options)
  expect(check).toThrow(UsageError)
  expect(check).toThrow(/^x: expected text, got nothing$/)
})

test('keys that the schema does not name are left out, and none reaches a prototype', () => {
  const text = '{"x": 1, "__proto__": {"y": 2}, "constructor": 3}'
  const found = parseBySchema(v.object({ x: v.number() }), text, about)
  expect(Object.entries(found)).toEqual([['x', 1]])
  expect((found as { y?: unknown }).y).toBeUndefined()
  const asked = v.object({ y: v.number() })
  expect(answerOf(() => parseBySchema(asked, text, about))).toBe('file y: expected a number, got nothing')
})

test.each([
  ['b', 'file x: expected an object of a, got the key b'],
  // An empty name and one that every object has are keys like others.
  ['', 'file x: expected an object of a, got the key ""'],
  ['constructor', 'file x: expected an object of a, got the key constructor'],
])('the key "%s" that a strict schema does not name is refused', (key, words) => {
  const schema = v.object({ x: v.strictObject({ a: v.nullish(v.string()) }, 'an object of a') })
  expect(answerOf(() => checkSchema(schema, { x: { [key]: 0 } }, about))).toBe(words)
})

test('the first of a million faults ends the check', () => {
  let calls = 0
  const counted = v.custom(() => (calls++, false), 'another')
  expect(answerOf(() => checkSchema(v.array(counted), Array(1e6).fill(0), about))).toMatch(/^file 0: /)
  expect(calls).toBe(1)
})

law(
  'a whole number is read if and only if it is within its bounds',
  {
    value: fc.integer({ min: -3, max: 9 }),
    min: fc.integer({ min: 0, max: 3 }),
    max: fc.integer({ min: 3, max: 6 }),
  },
  ({ value, min, max }) => {
    const answer = answerOf(() => checkSchema(wholeNumber(min, max), value, about))
    expect(answer === value).toBe(value >= min && value <= max)
  },
)

test('a schema that takes nothing without being optional is a bug of ours', () => {
  const schema = v.object({ x: v.custom((value) => value === undefined) })
  expect(() => checkSchema(schema, {}, about)).toThrow('schema of x: it takes nothing, but is not optional')
})

describe('a value is looked at a few times, however long it is', () => {
  const message = v.object({ role: v.string(), name: v.nullish(v.string()) })
  /** How often the items of a list are asked for something. */
  function looks(schema: v.GenericSchema, items: number, last: object): number {
    let count = 0
    const watched = (item: object): object =>
      new Proxy(item, { get: (target, key) => (count++, Reflect.get(target, key)) })
    const list = Array.from({ length: items }, (_, i) => watched(i + 1 === items ? last : { role: 'user' }))
    answerOf(() => checkSchema(schema, { list }, about))
    return count
  }

  test.each([
    ['that is right', { role: 'user' }],
    ['whose last item lacks a key', {}],
    ['whose last item is wrong', { role: 1 }],
  ])('a list %s', (_, last) => {
    const schema = v.object({ list: v.array(message) })
    expect(looks(schema, 1000, last)).toBeLessThanOrEqual(20 * looks(schema, 100, last))
    expect(looks(schema, 1000, last)).toBeLessThan(10_000)
  })
})
