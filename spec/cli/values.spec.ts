/**
 * Flags are read strictly: what is not exactly a value of their option is refused, by name, before anything runs.
 */
import type { Option } from 'commander'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytes, flagOf, listOf, number, sharesOf, whole } from '../../src/cli/values.ts'
import { methodCells } from '../../src/cli/words.ts'
import { UsageError } from '../../src/tensor/errors.ts'
import { seedOption } from '../../src/tensor/option.ts'
import { law } from '../harness/seed.ts'

/** What a flag makes of a text. */
const parsed = (flag: Option, text: string): unknown => flag.parseArg?.(text, undefined)

describe('bytes', () => {
  const size = flagOf('--shard-size <bytes>', 'how long', bytes)
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
    ({ count, unit: [name, each], space, spelling }) => {
      expect(parsed(size, `${count}${space}${name[spelling]()}`)).toBe(count * each)
    },
  )

  test.each([
    '0',
    '0kB',
    '9007199254740993',
    '9999TiB9',
    '9999TiB',
    '5PB',
    '5GBB',
    '1e9',
    'kB',
    '1.5GB',
    '-1',
    '1 k B',
  ])('rejects %j', (text) =>
    expect(() => parsed(size, text)).toThrow(
      `--shard-size: expected bytes, such as 5000000, 5GB or 5GiB, got ${text}`,
    ),
  )
})

describe('a number', () => {
  const rate = flagOf('-r, --rate <number>', 'how fast', number(0, 10))

  law(
    'inside its range is read exactly',
    { value: fc.double({ min: 0, max: 10, noNaN: true }) },
    ({ value }) => {
      expect(parsed(rate, String(value))).toBe(value)
    },
  )

  law(
    'outside is refused, naming flag and range',
    { value: fc.double({ min: 10, minExcluded: true, noDefaultInfinity: true, noNaN: true }) },
    ({ value }) => {
      expect(() => parsed(rate, String(value))).toThrow(
        `--rate: expected a number from 0 to 10, got ${value}`,
      )
    },
  )

  test.each(['', ' ', '1x', '0x10', 'NaN', 'Infinity', '1,5', '1e', '--1'])('rejects %j', (text) => {
    expect(() => parsed(rate, text)).toThrow(UsageError)
  })

  test('without an end is finite', () => {
    expect(() => parsed(flagOf('--rate <number>', 'how fast', number(0)), '1e999')).toThrow(
      '--rate: expected a number from 0, got 1e999',
    )
  })
})

describe('a whole number', () => {
  const tokens = flagOf('--tokens <count>', 'how many', whole(1))

  law(
    'is read exactly',
    { value: fc.integer({ min: 1 }) },
    ({ value }) => parsed(tokens, String(value)) === value,
  )

  test.each(['0', '-1', '1.0', '1e3', 'ten', ''])('rejects %j', (text) => {
    expect(() => parsed(tokens, text)).toThrow(/^--tokens: expected a whole number from 1, got/)
  })
})

describe('values separated by commas', () => {
  test('are read each, in their order, and each once', () => {
    expect(parsed(listOf('--seeds <list>', 'which', seedOption), '2, 0,1,0')).toEqual([2, 0, 1])
  })

  test('are refused by the first that is none', () => {
    expect(() => parsed(listOf('--seeds <list>', 'which', seedOption), '2,-1,x')).toThrow(
      '--seeds: expected a whole number from 0 to 4294967295, got -1',
    )
  })

  test('are in ascending order if they are shares', () => {
    const shares = sharesOf('--sparsity <list>', 'how much')
    expect(parsed(shares, '0.8, 0.5,0.8')).toEqual([0.5, 0.8])
    expect(parsed(shares, '0.5,1e-7')).toEqual([1e-7, 0.5])
    expect(() => parsed(shares, '0.5,,0.7')).toThrow('got nothing')
    expect(parsed(shares, '0,1')).toEqual([0, 1])
    for (const text of ['0,5', '0,05', '0,15'])
      expect(() => parsed(shares, text)).toThrow(`(with a decimal point: ${text.replace(',', '.')})`)
  })

  test('have a default that the help shows as one writes it', () => {
    expect(listOf('--seeds <list>', 'which', seedOption, [1, 2])).toMatchObject({
      defaultValue: [1, 2],
      defaultValueDescription: '1,2',
    })
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
