/**
 * Fields of an object out of a file: what is within its bounds is read, the bounds too, and anything else is refused by name.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Fields } from '../../src/io/fields.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'

/** The object with this field. */
const withField = (value: unknown): Fields =>
  Fields.parse(JSON.stringify({ x: value, inner: { x: value } }), { code: 'CODE', subject: 'card' })

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

/** Reading a field, values that are read as they are, and others, beside what is expected in their place. */
type Row = [
  read: string,
  reader: (fields: Fields) => unknown,
  good: readonly unknown[],
  bad: readonly unknown[],
  expected: string,
]

const numbers = [1.5, -1, null, 'a', '1', true, [], {}]
const rows: readonly Row[] = [
  [
    'a whole number',
    (fields) => fields.whole('x', 2, 5),
    [2, 3, 5],
    [1, 6, 2.5, ...numbers],
    'a whole number from 2 to 5',
  ],
  [
    'a whole number or null',
    (fields) => fields.wholeOrNull('x', 2, 5),
    [2, 5, null],
    [1, 6, 2.5, 'a'],
    'a whole number from 2 to 5',
  ],
  [
    'a number',
    (fields) => fields.number('x', 0.5, 1),
    [0.5, 0.75, 1],
    [0.4, 1.1, null, '1'],
    'a number from 0.5 to 1',
  ],
  [
    'a number or null',
    (fields) => fields.numberOrNull('x', 0.5, 1),
    [0.5, 1, null],
    [0.4, 1.1, '1'],
    'a number from 0.5 to 1',
  ],
  ['one of some names', (fields) => fields.oneOf('x', ['a', 'b']), ['a', 'b'], ['c', null, 1], 'a or b'],
  [
    'shares',
    (fields) => fields.shares('x'),
    [[], [0.1, 0.9]],
    [[0], [1], [0.5, 2], ['0.5'], 0.5, null],
    'a list of shares between 0 and 1',
  ],
  ['texts', (fields) => fields.texts('x'), [[], ['a', '']], [['a', 1], 'a', null], 'a list of texts'],
  ['a text', (fields) => fields.text('x', 'words'), ['', 'a'], [1, null, []], 'words'],
  ['a text or null', (fields) => fields.textOrNull('x', 'words'), ['', 'a', null], [1, []], 'words'],
]

describe.each(rows)('%s', (_, reader, good, bad, expected) => {
  test('is read, up to its bounds', () => {
    for (const value of good) expect(answerOf(() => reader(withField(value)))).toEqual(value)
    for (const value of good) expect(answerOf(() => reader(withField(value).fields('inner')))).toEqual(value)
  })

  test('is refused by name for any other value', () => {
    for (const value of bad) {
      const words = answerOf(() => reader(withField(value)))
      expect(words).toMatch(/^card\.x: expected .*, got ./)
      expect(words).toContain(`card.x: expected ${expected}, got `)
    }
  })
})

test('a missing field is its fallback, null if optional, and refused otherwise', () => {
  const none = withField(undefined)
  expect(none.whole('x', 2, 5, 4)).toBe(4)
  expect(none.oneOf('x', ['a', 'b'], 'b')).toBe('b')
  expect(none.shares('x', [0.5])).toEqual([0.5])
  expect([none.wholeOrNull('x', 2, 5), none.numberOrNull('x', 2, 5), none.textOrNull('x', 'words')]).toEqual([
    null,
    null,
    null,
  ])
  const given = withField(3)
  expect(given.whole('x', 2, 5, 4)).toBe(3)
  for (const [, reader, good, , expected] of rows.filter(([, , values]) => !values.includes(null)))
    expect(
      answerOf(() => reader(none)),
      `${good}`,
    ).toContain(`card.x: expected ${expected}, got `)
})

test('a value that is no object, and a missing configuration, are refused', () => {
  expect(answerOf(() => withField(1).fields('x'))).toMatch(/^card\.x: expected an object, got /)
  const name = { code: 'CODE', subject: 'card' }
  expect(answerOf(() => Fields.parse('[]', name))).toMatch(/^card\.card: expected an object, got /)
  expect(answerOf(() => Fields.parse(undefined, name))).toBe(
    'card: expected a card in the metadata, got none',
  )
})

law(
  'a whole number is read if and only if it is within its bounds',
  [fc.integer({ min: -3, max: 9 }), fc.integer({ min: 0, max: 3 }), fc.integer({ min: 3, max: 6 })],
  (value, least, most) => {
    const answer = answerOf(() => withField(value).whole('x', least, most))
    expect(answer === value).toBe(value >= least && value <= most)
  },
)
