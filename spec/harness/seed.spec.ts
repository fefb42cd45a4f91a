/**
 * A law that holds passes, a broken law fails, its smallest counterexample is kept and tried first, and a printed seed gives the
 * same cases again.
 *
 * Tests src/verify/check.ts and src/verify/values.ts.
 */
import fc from 'fast-check'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/verify/values.ts'
import { readRegressions, slug, writeRegression } from './regressions.ts'
import { readRuns, readSeed } from './run.ts'
import {
  checkLaw,
  firstFailure,
  killingRuns,
  kills,
  law,
  lawAlways,
  lawForAll,
  runSeed,
  scaledRuns,
  stateLaw,
} from './seed.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shadowllm-regressions-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const int = fc.integer({ min: 0, max: 1_000_000 })

describe('a law', () => {
  law(
    'is a test of the file that states it',
    { a: fc.integer(), b: fc.integer() },
    ({ a, b }) => a + b === b + a,
  )

  test('that holds passes and writes nothing', async () => {
    await checkLaw('holds', { x: int }, ({ x }) => x >= 0, { folder, record: true })
    expect(readdirSync(folder)).toEqual([])
  })

  test('that returns false, throws or rejects fails, with the shrunk case and the seed in the message', async () => {
    const fails = (predicate: (x: number) => boolean | void | Promise<boolean | void>): Promise<void> =>
      checkLaw('fails', { x: int }, ({ x }) => predicate(x), { folder, record: false })
    await expect(fails((x) => x < 1000)).rejects.toThrow(/^fails\n(.*\n)+x = 1000\n/)
    await expect(fails((x) => expect(x).toBeLessThan(1000))).rejects.toThrow(/^fails\n(.*\n)+x = 1000\n/)
    await expect(fails(async (x) => x < 1000)).rejects.toThrow(`seed ${runSeed()}, path `)
  })

  test('tries as many cases as it is told, times SHADOWLLM_RUNS', async () => {
    let cases = 0
    await checkLaw('count', { int }, () => void cases++, { folder, runs: 37 })
    expect(cases).toBe(scaledRuns(37))
  })

  test('draws the same cases twice in a run', async () => {
    const cases: number[][] = [[], []]
    for (const seen of cases) await checkLaw('same', { x: int }, ({ x }) => void seen.push(x), { folder })
    expect(cases[0]).toEqual(cases[1])
  })
})

describe('a law of a subject', () => {
  type Sort = (list: number[]) => number[]
  const lists = fc.array(int, { maxLength: 300 })
  const ascends = lawForAll('ascends', { list: lists }, (sort: Sort, { list }) =>
    sort(list).every((x, i, all) => i === 0 || all[i - 1] <= x),
  )
  stateLaw(ascends, (list) => list.toSorted((a, b) => a - b))

  const lengths: number[] = []
  const keepsAll = lawForAll(
    'keeps as many, on lists of every length',
    { list: lists },
    (sort: Sort, { list }) => {
      lengths.push(list.length)
      return sort(list).length === list.length
    },
  )
  stateLaw(keepsAll, (list) => list)

  test('has arguments as large as its arbitraries state', async () => {
    lengths.length = 0
    expect(await firstFailure(keepsAll, (list) => list, 100)).toBeNull()
    expect(Math.max(...lengths)).toBeGreaterThan(200)
  })

  test('kills a mutant that only long arguments show, at the first case and unshrunk', async () => {
    const cut: Sort = (list) => list.slice(0, 150)
    await kills(keepsAll, cut)
    const unshrunk = (await firstFailure(keepsAll, cut))?.counterexample?.list as number[]
    expect(unshrunk.length).toBeGreaterThan(151)
    lengths.length = 0
    await kills(keepsAll, () => [0.5])
    expect(lengths.length).toBeLessThan(10)
  })

  test('kills a mutant by what its predicate throws, too', async () => {
    await kills(ascends, () => {
      throw new Error('no list')
    })
  })

  test('does not kill a mutant that keeps it, on ten times its cases', async () => {
    lengths.length = 0
    await expect(kills(keepsAll, (list) => list.toReversed())).rejects.toThrow('got a mutant that keeps it')
    expect([lengths.length, killingRuns(keepsAll)]).toEqual([1000, 1000])
  })

  test('that is not stated, or has other arbitraries than the stated one, judges no mutant', async () => {
    const none = () => []
    const other = lawForAll('ascends', { lists }, () => false)
    for (const law of [other, lawAlways('never', () => false)])
      await expect(kills(law, none)).rejects.toThrow('got a law for mutants alone')
    await kills({ ...keepsAll, sentence: 'the same law under another name' }, () => [0.5])
  })
})

describe('a counterexample', () => {
  test('is written in its smallest form, and tried first by the next run', async () => {
    const options = { folder, record: true }
    await expect(checkLaw('small', { x: int }, ({ x }) => x < 1000, options)).rejects.toThrow('small.json')
    expect(JSON.parse(readFileSync(join(folder, 'small.json'), 'utf8'))).toEqual({
      law: 'small',
      examples: [{ x: 1000 }],
    })

    const tried: number[] = []
    await checkLaw('small', { x: int }, ({ x }) => void tried.push(x), options)
    expect(tried[0]).toBe(1000)
  })

  test('makes the law fail even if random cases never would', async () => {
    writeRegression(join(folder, 'rare.json'), 'rare', { x: 123_456.5 })
    await expect(
      checkLaw('rare', { x: int }, ({ x }) => x !== 123_456.5, { folder, record: false }),
    ).rejects.toThrow('123456.5')
    await checkLaw('another name', { x: int }, ({ x }) => x !== 123_456.5, { folder, record: false })
  })

  test('comes before the examples of the law itself', async () => {
    writeRegression(join(folder, 'order.json'), 'order', { x: 7 })
    const tried: number[] = []
    await checkLaw('order', { x: int }, ({ x }) => void tried.push(x), { folder, examples: [{ x: 8 }] })
    expect(tried.slice(0, 2)).toEqual([7, 8])
  })

  test('is not written if told not to, or if JSON cannot hold it', async () => {
    await expect(checkLaw('quiet', { int }, () => false, { folder, record: false })).rejects.toThrow(
      'not written',
    )
    const maps = fc.constant(new Map([[1, 2]]))
    await expect(checkLaw('map', { maps }, () => false, { folder, record: true })).rejects.toThrow(
      'could not be kept: case.maps: expected plain data or a typed array, got Map',
    )
    expect(readdirSync(folder)).toEqual([])
  })

  test('is kept once, the newest first', () => {
    const file = join(folder, 'deep', 'file.json')
    for (const x of [1, 2, 1]) writeRegression(file, 'law', { x })
    expect(readRegressions(file)).toEqual([{ x: 2 }, { x: 1 }])
    expect(existsSync(join(folder, 'none.json'))).toBe(false)
    expect(readRegressions(join(folder, 'none.json'))).toEqual([])
  })
})

describe('stored values', () => {
  const float32s = fc.float32Array({ maxLength: 40 })
  law(
    'round-trip: numbers of every kind, text, nesting, typed arrays',
    {
      anything: fc.anything({ withBigInt: true, withTypedArray: false, withNullPrototype: false }),
      floats: float32s,
      ints: fc.int32Array(),
    },
    ({ anything, floats, ints }) => {
      const value = {
        anything,
        tags: { $number: 'x', $: 1, $Float32Array: [NaN] },
        floats,
        ints,
        nested: [{ floats }, -0, NaN, Infinity, undefined],
      }
      const text = JSON.stringify(encode(value))
      expect(decode(JSON.parse(text))).toStrictEqual(value)
    },
  )

  test('that JSON would change are refused by name', () => {
    expect(() => encode({ a: [() => 0] })).toThrow(
      'value.a[0]: expected plain data or a typed array, got a function',
    )
    expect(() => encode(new Date(0))).toThrow('got Date')
    expect(() => decode({ $Map: [] })).toThrow('$Map: expected a tag that encode writes')
  })
})

describe('names and numbers', () => {
  test('a law has one file, readable from its name', () => {
    expect(slug('masks/selection.spec.ts Ties go to the LOWER index (all backends)')).toBe(
      'masks-selection-ties-go-to-the-lower-index-all-backends',
    )
  })

  test('SHADOWLLM_SEED and SHADOWLLM_RUNS are taken literally or refused', () => {
    expect(readSeed('123')).toBe(123)
    expect(readSeed('-5')).toBe(-5)
    expect(readSeed(undefined)).not.toBe(readSeed(''))
    expect(() => readSeed('12x')).toThrow('SHADOWLLM_SEED: expected a 32-bit integer, got 12x')
    expect(() => readSeed('4294967296')).toThrow(RangeError)
    expect(readRuns(undefined)).toBe(1)
    expect(readRuns('0.1')).toBe(0.1)
    expect(() => readRuns('0')).toThrow('SHADOWLLM_RUNS: expected a positive number, got 0')
  })
})
