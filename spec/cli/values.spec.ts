/**
 * Flags are read strictly: what is not exactly a value of the range is refused, by name, before anything runs.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bytesFlag,
  everyFlag,
  numberFlag,
  seedFlag,
  sparsityFlag,
  sparsityListFlag,
  threadsFlag,
  wholeFlag,
} from '../../src/cli/values.ts'
import { methodCells } from '../../src/cli/words.ts'
import { UsageError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'

describe('bytes', () => {
  const size = bytesFlag('shard-size')
  const units = {
    '': 1,
    kB: 1_000,
    MB: 1_000_000,
    GB: 1_000_000_000,
    TB: 1_000_000_000_000,
    KiB: 1_024,
    MiB: 1_048_576,
    GiB: 1_073_741_824,
    TiB: 1_099_511_627_776,
  }

  law(
    'are read in their unit, in capitals or not, with a space or without',
    {
      count: fc.integer({ min: 1, max: 4_000 }),
      unit: fc.constantFrom(...Object.entries(units)),
      space: fc.constantFrom('', ' '),
      spelling: fc.constantFrom('toUpperCase', 'toLowerCase', 'toString'),
    },
    ({ count, unit: [name, bytes], space, spelling }) => {
      expect(size(`${count}${space}${name[spelling]()}`)).toBe(count * bytes)
    },
  )

  test.each(['0', '0kB', '9007199254740992', '9999TiB9', '5PB', 'kB', '1.5GB', '-1', '1 k B'])(
    'rejects %j',
    (text) =>
      expect(() => size(text)).toThrow(
        `--shard-size: expected bytes, such as 5000000, 5GB or 5GiB, got ${text}`,
      ),
  )
})

describe('a number', () => {
  const temperature = numberFlag('temperature', 0, 10)

  law(
    'inside its range is read exactly',
    { value: fc.double({ min: 0, max: 10, noNaN: true }) },
    ({ value }) => {
      expect(temperature(String(value))).toBe(value)
    },
  )

  law(
    'outside is refused, naming flag and range',
    { value: fc.double({ min: 10, minExcluded: true }) },
    ({ value }) => {
      expect(() => temperature(String(value))).toThrow(
        `--temperature: expected a number from 0 to 10, got ${value}`,
      )
    },
  )

  test.each(['', ' ', '1x', '0x10', 'NaN', 'Infinity', '1,5', '1e', '--1'])('rejects %j', (text) => {
    expect(() => temperature(text)).toThrow(UsageError)
  })
})

describe('a whole number', () => {
  const tokens = wholeFlag('max-tokens', 1)

  law('is read exactly', { value: fc.integer({ min: 1 }) }, ({ value }) => tokens(String(value)) === value)

  test.each(['0', '-1', '1.0', '1e3', 'ten', ''])('rejects %j', (text) => {
    expect(() => tokens(text)).toThrow(/^--max-tokens: expected a whole number, 1 or more, got/)
  })

  test('a seed has 32 bits', () => {
    expect(seedFlag('4294967295')).toBe(4294967295)
    expect(() => seedFlag('4294967296')).toThrow('--seed: expected a whole number from 0 to 4294967295')
  })
})

describe('after how many tokens a planner decides again', () => {
  test('is a whole number or auto', () => {
    expect([everyFlag('1'), everyFlag('300'), everyFlag('auto')]).toEqual([1, 300, 'auto'])
  })

  test.each(['0', '-2', '1.5', 'once', ''])('rejects %j', (text) => {
    expect(() => everyFlag(text)).toThrow('--every: expected auto or a whole number, 1 or more, got')
  })
})

describe('a number of threads', () => {
  test('is a whole number or auto', () => {
    expect([threadsFlag('1'), threadsFlag('32'), threadsFlag('auto')]).toEqual([1, 32, 'auto'])
  })

  test.each(['0', '33', '1.5', '-2', 'all', ''])('rejects %j', (text) => {
    expect(() => threadsFlag(text)).toThrow('--threads: expected auto or a whole number from 1 to 32, got')
  })
})

describe('a sparsity', () => {
  law(
    'is a share',
    { value: fc.double({ min: 0, max: 1, noNaN: true }) },
    ({ value }) => sparsityFlag(String(value)) === value,
  )

  test('outside [0, 1] is refused, a percentage with a hint', () => {
    expect(() => sparsityFlag('1.2')).toThrow('--sparsity: expected a share from 0 to 1, got 1.2')
    expect(() => sparsityFlag('-0.1')).toThrow('--sparsity: expected a share from 0 to 1, got -0.1')
    expect(() => sparsityFlag('50')).toThrow('got 50 (50 % is 0.5)')
  })

  test('lists are sorted and have no duplicates', () => {
    expect(sparsityListFlag('0.8, 0.5,0.8')).toEqual([0.5, 0.8])
    expect(() => sparsityListFlag('0.5,,0.7')).toThrow('got nothing')
  })
})

describe('a row of methods', () => {
  test.each([
    ['shadow', false, 'masked', 'shadow'],
    ['shadow', false, 'dense', 'shadow (dense prompt)'],
    ['shadow', true, 'masked', 'shadow (leaky)'],
    ['griffin', false, 'dense', 'griffin'],
    ['griffin', true, 'masked', 'griffin (leaky)'],
    ['dense', false, 'dense', 'dense'],
  ] as const)('of %s, leaky %s, whose prompt is %s, is named %s', (planner, leaky, prefill, name) => {
    const achieved = { heads: 0, neurons: 0.25 }
    expect(methodCells({ planner, leaky, prefill, sparsity: 0.5, achieved })).toEqual([
      name,
      '50 %',
      '0.0 %',
      '25.0 %',
    ])
  })
})
