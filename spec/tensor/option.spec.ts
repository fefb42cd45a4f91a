/**
 * What the records of options take: in words, as values and as texts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { threadsOption } from '../../src/backends/backend.ts'
import { samplingOptions } from '../../src/engine/sampling.ts'
import { maxTokensOption } from '../../src/engine/generate.ts'
import { shareOption } from '../../src/masks/budget.ts'
import { everyOption } from '../../src/masks/planner.ts'
import {
  expectOption,
  nameOption,
  readOption,
  seedOption,
  type OptionRecord,
} from '../../src/tensor/option.ts'
import { law } from '../harness/seed.ts'

const topK = samplingOptions.topK
const rows: [
  name: string,
  option: OptionRecord,
  taken: readonly unknown[],
  refused: readonly unknown[],
  words: string,
][] = [
  ['sparsity', shareOption, [0, 0.5, 1], [-0.1, 1.01, NaN, '0.5', null], 'a share from 0 to 1'],
  ['seed', seedOption, [0, 2 ** 32 - 1], [-1, 2 ** 32, 0.5, NaN], 'a whole number from 0 to 4294967295'],
  ['threads', threadsOption, [1, 32, 'auto'], [0, 33, 1.5, 'all'], 'auto or a whole number from 1 to 32'],
  ['every', everyOption, [1, 300, 'auto'], [0, -2, 1.5, 'once', Infinity], 'auto or a whole number from 1'],
  ['temperature', samplingOptions.temperature, [0, 100, 1e9], [-1, Infinity, NaN], 'a number from 0'],
  ['topK', topK, [1, 50], [0, 1.5, Infinity], 'a whole number from 1'],
  ['topP', samplingOptions.topP, [0, 1e-9, 1], [-0.1, 1.1], 'a number from 0 to 1'],
  ['repetitionPenalty', samplingOptions.repetitionPenalty, [1e-9, 2], [0, -1, Infinity], 'a number above 0'],
  ['minP', samplingOptions.minP, [0, 0.05, 1], [-0.1, 1.01, NaN], 'a number from 0 to 1'],
  ['presencePenalty', samplingOptions.presencePenalty, [-2, 0, 2], [-2.1, 2.1], 'a number from -2 to 2'],
  ['frequencyPenalty', samplingOptions.frequencyPenalty, [-2, 0, 2], [-2.1, 2.1], 'a number from -2 to 2'],
  ['maxTokens', maxTokensOption, [0, 64], [-1, 0.5], 'a whole number from 0'],
  ['scope', nameOption('SCOPE', ['a', 'b']), ['a', 'b'], ['c', '', 0, ['a']], 'one of a, b'],
]

describe.each(rows)('%s', (name, option, taken, refused, words) => {
  test('takes its values and says what it expects of others', () => {
    for (const value of taken) expect(() => expectOption(name, value, option)).not.toThrow()
    for (const value of refused)
      expect(() => expectOption(name, value, option), String(value)).toThrow(
        `${name}: expected ${words}, got `,
      )
  })

  test('is read from a text if it takes what the text spells', () => {
    for (const value of taken) expect(readOption(name, String(value), option)).toBe(value)
    for (const value of refused.filter((one) => typeof one !== 'object' && one !== '0.5'))
      expect(() => readOption(name, String(value), option)).toThrow(`${name}: expected ${words}, got `)
  })
})

test.each([
  ['50%', ' (50 % is 0.5)'],
  ['12.5 %', ' (12.5 % is 0.125)'],
  ['50', ' (50 % is 0.5)'],
  ['101%', ''],
  ['%', ''],
  ['1.5', ''],
  ['0,5', ' (with a decimal point: 0.5)'],
  ['0,5,1', ''],
])('a share that is spelled %s is refused with%s', (text, hint) => {
  expect(() => readOption('--sparsity', text, shareOption)).toThrow(
    expect.objectContaining({ message: `--sparsity: expected a share from 0 to 1, got ${text}${hint}` }),
  )
})

law(
  'a text spells a number strictly',
  { value: fc.double({ min: 0, max: 1, noNaN: true }), junk: fc.constantFrom(' ', 'x', ',', '%') },
  ({ value, junk }) => {
    expect(readOption('sparsity', String(value), shareOption)).toBe(value)
    for (const text of [`${value}${junk}`, `${junk}${value}`, ''])
      expect(() => readOption('sparsity', text, shareOption)).toThrow('a share from 0 to 1')
  },
)

test('a percentage is told its share, from a text and from a number', () => {
  expect(() => readOption('--sparsity', '50', shareOption)).toThrow('got 50 (50 % is 0.5)')
  expect(() => expectOption('sparsity', 50, shareOption)).toThrow('got 50 (50 % is 0.5)')
  expect(() => readOption('--sparsity', '1.2', shareOption)).toThrow(/got 1.2$/)
})
