/**
 * The edges of numbers: all 65,536 halves, the greatest and least numbers with their neighbours, few values where ranks are
 * taken, limits that are met exactly, and numbers shown at the limits of their form.
 *
 * Tests src/tensor/dtypes.ts, src/tensor/int4.ts, src/io/gguf_blocks.ts, src/ops/quantized_steps.ts, src/ops/int8_blocks.ts,
 * src/ops/top_k.ts, src/masks/selection.ts, src/engine/sampling.ts, src/web/trace/quick_top_k.ts, src/data/windows.ts,
 * src/training/pretrain_data.ts, src/results/fold.ts, src/results/cells.ts, src/cli/words.ts and src/cli/progress.ts.
 * What the operations make of such numbers on each backend is judged with the other data of src/verify/ops/agreement.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatSeconds } from '../src/cli/progress.ts'
import { formatBytes, formatCount } from '../src/cli/words.ts'
import { cutWindows, pageWindows, streamWindows } from '../src/data/windows.ts'
import { argmax, makeSampler } from '../src/engine/sampling.ts'
import { ggufTypes, type GgufType } from '../src/io/gguf_blocks.ts'
import type { Budget } from '../src/masks/budget.ts'
import { referenceTopK, selectLayer, type TopK } from '../src/masks/selection.ts'
import { nthLargest } from '../src/masks/ranks.ts'
import { roundBlock, LEVELS } from '../src/ops/int8_blocks.ts'
import { levelsFor, quantizeSteps } from '../src/ops/quantized_steps.ts'
import { quantizeRow } from '../src/tensor/dtypes.ts'
import { figure } from '../src/results/cells.ts'
import { foldColumns, GAP, wrapLines } from '../src/results/fold.ts'
import { areFinite, BLOCK, dequantizeBlocks, quantizeBlocks } from '../src/tensor/int4.ts'
import { edges } from '../src/testing/seeded_data.ts'
import { cutStream } from '../src/training/pretrain_data.ts'
import { near } from '../src/verify/compare.ts'
import { brief } from '../src/web/view/dom.ts'
import { quickTopK } from '../src/web/trace/quick_top_k.ts'
import { kills, killsEach, lawForAll, stateLaw } from './harness/seed.ts'
import { isQuick } from './harness/tier.ts'

const everyHalf = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)
/** What each half is, by the definition of its bits. */
const valueOfHalf = Float64Array.from(everyHalf, (bits) => {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, (bits & 1023) / 1024]
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15)
})
const MAX_HALF = 65504
/** Where 8 times a half may be past half precision all of them, and some others. */
const someHalves = everyHalf.filter((half) => (half & 0x7c00) >= 0x6c00 || half % 16 === 5)

// ---- Halves -----------------------------------------------------------------------------------------------

const blockTypes = [...ggufTypes.values()].filter(({ decode }) => decode !== null)

type Decode = (blocks: Uint8Array, out: Float32Array) => void

/** The places of a block's scales in half precision: those where NaN reaches numbers. */
function scalePlaces({ bytes, numbers, decode }: GgufType): number[] {
  const out = new Float32Array(numbers)
  const isScale = (place: number): boolean => {
    const block = new Uint8Array(bytes).fill(1)
    block.set([0xff, 0x7f], place)
    decode?.(block, out)
    return out.every(Number.isNaN)
  }
  return Array.from({ length: bytes / 2 }, (_, i) => 2 * i).filter(isScale)
}

/** A block of given bytes with one scale, the others being 0. */
function withScale(block: Uint8Array, places: readonly number[], place: number, half: number): Uint8Array {
  const made = block.slice()
  for (const other of places) made.set([0, 0], other)
  made.set([half & 255, half >> 8], place)
  return made
}

/** Bytes of a block that are not all alike. */
const patterned = (bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 37 + 11) & 255)

describe.each(blockTypes)('$name', (type) => {
  const { numbers, bytes, decode, asQ4_1 } = type
  const places = scalePlaces(type)
  const block = patterned(bytes)

  /** What is broken of: numbers are their scale times what they are at scale 1, rounded once. */
  function checkHalves(of: Decode): void {
    expect(places.length).toBeGreaterThan(0)
    for (const place of places) {
      const ones = new Float32Array(numbers)
      of(withScale(block, places, place, 0x3c00), ones)
      const blocks = new Uint8Array(bytes * 65_536)
      for (const half of everyHalf) blocks.set(withScale(block, places, place, half), half * bytes)
      const out = new Float32Array(numbers * 65_536)
      of(blocks, out)
      for (const half of everyHalf)
        for (let i = 0; i < numbers; i += numbers / 8 + 1) {
          const expected = Math.fround(valueOfHalf[half] * ones[i])
          const actual = out[half * numbers + i]
          // With the sum of two parts a zero may have either sign.
          if (actual !== expected && !(Number.isNaN(actual) && Number.isNaN(expected)))
            throw new Error(`half ${half} at ${place}: expected ${expected}, got ${actual}`)
        }
    }
  }

  test('every half is a scale', () => checkHalves(decode as Decode))

  test('a decoder that takes subnormal scales for zeros is found', () => {
    const flushing: Decode = (blocks, out) => {
      const copy = blocks.slice()
      for (let at = 0; at < copy.length; at += bytes)
        for (const place of places)
          if ((copy[at + place + 1] & 0x7c) === 0) copy.fill(0, at + place, at + place + 2)
      decode?.(copy, out)
    }
    expect(() => checkHalves(flushing)).toThrow('half')
  })

  if (asQ4_1 === undefined) return

  test('every half is a scale of int4 blocks, unless its numbers are past half precision', () => {
    const checkInt4 = (of: NonNullable<GgufType['asQ4_1']>): void => {
      for (const fill of isQuick ? [0x8f] : [0x00, 0xff, 0x8f]) {
        const halves = fill === 0x8f && !isQuick ? everyHalf : someHalves
        const nibbles = new Uint8Array(bytes).fill(fill)
        const expected = new Float32Array(numbers)
        for (const half of halves) {
          const made = withScale(nibbles, places, places[0], half)
          decode?.(made, expected)
          const words = new Uint32Array(of(made).buffer)
          const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
          const isFinite = Number.isFinite(largest)
          if (!isFinite || !areFinite(words)) {
            if (isFinite && largest <= MAX_HALF) throw new Error(`half ${half}: expected finite int4 numbers`)
            continue
          }
          const actual = dequantizeBlocks(words, 1, BLOCK)
          // Half a step, and what rounding of the scale and the minimum to half precision moves.
          const allowed = largest * (1 / 30 + 2 ** -9)
          const isExact = 8 * Math.abs(valueOfHalf[half]) <= MAX_HALF
          expected.forEach((value, i) => {
            const off = Math.abs(actual[i] - value)
            if (isExact ? off !== 0 : off > allowed)
              throw new Error(`half ${half}: expected ${value}, got ${actual[i]}`)
          })
        }
      }
    }
    checkInt4(asQ4_1 as NonNullable<typeof asQ4_1>)
    expect(() =>
      checkInt4((blocks) => {
        const made = (asQ4_1 as NonNullable<typeof asQ4_1>)(blocks)
        if ((made[1] & 0x7c) === 0) made.fill(0, 0, 2)
        return made
      }),
    ).toThrow('half')
  })
})

// ---- Quantisers -------------------------------------------------------------------------------------------

const someEdge = fc.oneof(fc.constantFrom(...edges), fc.float({ noNaN: true, noDefaultInfinity: true }))
const someRow = fc
  .oneof(
    fc.array(someEdge, { minLength: 1, maxLength: 40 }),
    // Numbers of one size: a number far above the others leaves nothing of them.
    fc
      .tuple(
        fc.constantFrom(...edges),
        fc.array(fc.constantFrom(1, -1, 0.5, 0), { minLength: 1, maxLength: 40 }),
      )
      .map(([edge, factors]) => factors.map((factor) => edge * factor)),
    // So many that they have fewer steps.
    fc
      .tuple(fc.constantFrom(1, -1), fc.integer({ min: 500, max: 3000 }))
      .map(([factor, length]) => Array.from({ length }, (_, i) => factor * (1 + (i % 7)))),
  )
  .map((numbers) => Float32Array.from(numbers))

/** Rounds a row to whole steps; returns what it stands for, and the step. */
type RoundRow = (x: Float32Array) => {
  readonly values: ArrayLike<number>
  readonly step: number
  readonly levels: number
}

const roundings: Readonly<Record<string, RoundRow>> = {
  'int8 rows': (x) => {
    const values = new Int8Array(x.length)
    return { step: quantizeRow(values, x), values, levels: 127 }
  },
  'int16 steps': (x) => {
    const values = new Int16Array(x.length)
    return { step: quantizeSteps(values, x), values, levels: levelsFor(x.filter((one) => one !== 0).length) }
  },
  'int8 blocks': (x) => {
    const values = new Int8Array(x.length)
    return { step: roundBlock(values, x), values, levels: LEVELS }
  },
}

describe.each(Object.entries(roundings))('%s', (name, round) => {
  const isNear = lawForAll(
    `${name}: a row of extremes is off by at most half a step, and what it stands for is finite`,
    { x: someRow },
    (of: RoundRow, { x }) => {
      const { values, step, levels } = of(x)
      const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      // An activation next to the greatest float32 may become an infinity. A weight may not.
      if (name !== 'int8 rows' && largest > 3.4028e38) return
      expect(Number.isFinite(step)).toBe(true)
      // A step that is rounded, as a subnormal number is, moves each number by its share.
      const rounding = Math.max(2 ** -24 * step, 2 ** -150)
      expect(Math.abs(step - largest / levels)).toBeLessThanOrEqual(
        largest > 3e38 ? 2 ** -22 * step : rounding,
      )
      for (const [i, value] of x.entries()) {
        const stands = Math.fround(step * values[i])
        const clamped = Math.max(0, largest - levels * step)
        const allowed = step / 2 + Math.abs(value) * 2 ** -22 + levels * rounding + clamped
        // Not by `expect`, which takes most of the time for thousands of numbers.
        const isRight = Number.isFinite(stands) && Math.abs(stands - value) <= allowed
        if (!isRight) throw new Error(`number ${i}: expected ${value} within ${allowed}, got ${stands}`)
      }
    },
    { runs: 300 },
  )
  stateLaw(isNear, round)

  killsEach('one that %s is found', isNear, {
    'loses the sign of the largest number': (x) => ({
      ...round(x),
      values: Array.from(round(x).values, Math.abs),
    }),
    'cuts instead of rounding': (x) => {
      const { step, levels } = round(x)
      return {
        step,
        levels,
        values: Array.from(x, (value) => (step === 0 ? 0 : Math.trunc(value / step / 1.0001))),
      }
    },
    'takes a subnormal step for zero': (x) => {
      const made = round(x)
      return made.step < 2 ** -126 ? { ...made, step: 0 } : made
    },
  })
})

test('the greatest float32 is finite again after int8', () => {
  const x = Float32Array.of(3.4028234663852886e38, -3.4028234663852886e38)
  const { values, step } = roundings['int8 rows'](x)
  expect(Math.fround(step * values[0])).toBeLessThan(Infinity)
})

const blocksAreNear = lawForAll(
  'blocks of int4 whose numbers fit half precision are off by at most half a step and the rounding of halves',
  { row: someRow },
  (of: typeof quantizeBlocks, { row }) => {
    const x = row.slice(0, BLOCK)
    const [least, most] = [Math.min(...x), Math.max(...x)]
    if (most - least > MAX_HALF || Math.max(Math.abs(least), Math.abs(most)) > MAX_HALF) return
    const words = of(x, 1, x.length)
    expect(areFinite(words)).toBe(true)
    const numbers = dequantizeBlocks(words, 1, x.length)
    const step = (most - least) / 15
    const half = (size: number): number => Math.max(size * 2 ** -11, 2 ** -25)
    const allowed = step / 2 + half(Math.abs(least)) + 15.5 * half(step) + 2 ** -22 * (most - least)
    near('x', numbers.subarray(0, x.length), x, allowed * 1.001)
  },
  { runs: 300 },
)
stateLaw(blocksAreNear, quantizeBlocks)

test('an int4 that measures its steps from zero is found', () =>
  kills(blocksAreNear, (x, rows, inputs) =>
    quantizeBlocks(
      x.map((value) => value - x[0]),
      rows,
      inputs,
    ),
  ))

// ---- Few values where ranks are taken ---------------------------------------------------------------------

/** The places of the `count` highest numbers: of equal ones the lowest places, and NaN below all. */
type Rank = (scores: Float32Array, count: number) => readonly number[]

const byDefinition: Rank = (scores, count) => {
  const rank = (n: number): number => (Number.isNaN(scores[n]) ? -2 : scores[n] === -Infinity ? -1 : 0)
  return [...scores.keys()]
    .sort((a, b) => rank(b) - rank(a) || (rank(a) === 0 ? scores[b] - scores[a] || 0 : 0) || a - b)
    .slice(0, count)
    .sort((a, b) => a - b)
}

const asRank =
  (topK: TopK): Rank =>
  (scores, count) => [...topK(scores, count)]

/** All tokens that are drawn in many tries. */
const drawn = (scores: Float32Array, topK: number): number[] => {
  const sampler = makeSampler({ temperature: 1e6, topK, seed: 1 })
  const ids = new Set(Array.from({ length: 60 * topK }, () => sampler(scores)))
  return [...ids].sort((a, b) => a - b)
}

/** What ranks, and how. A NaN or an infinite number is not drawn. */
const rankers: Readonly<
  Record<string, { readonly rank: Rank; readonly isFinite?: boolean; readonly one?: boolean }>
> = {
  'the definition of top_k': { rank: asRank(referenceTopK) },
  'the top_k of the page': { rank: asRank(quickTopK) },
  'the mask of a layer': {
    rank: (scores, count) => {
      const neurons = scores.length
      const budget: Budget = {
        headSparsity: 0,
        neuronSparsity: 1 - count / neurons,
        headFloor: 0,
        neuronFloor: 0,
        scope: 'per-layer',
        policy: 'exact',
        denseLayers: 0,
      }
      const mask = selectLayer({ heads: new Float32Array(1), neurons: scores }, budget)
      return [...mask.neurons.keys()].filter((n) => mask.neurons[n] === 1)
    },
  },
  'the number at a rank': {
    rank: (scores, count) => {
      if (count === 0) return []
      const least = nthLargest(scores.slice(), count)
      const above = [...scores.keys()].filter((n) => scores[n] > least)
      const equal = [...scores.keys()].filter((n) => scores[n] === least)
      return [...above, ...equal.slice(0, count - above.length)].sort((a, b) => a - b)
    },
    isFinite: true,
  },
  'the likeliest token': { rank: (scores) => [argmax(scores)], one: true },
  'tokens that are drawn of the likeliest': { rank: drawn, isFinite: true },
}

const someScores = (isFinite: boolean): fc.Arbitrary<Float32Array> =>
  fc
    .array(fc.constantFrom(...(isFinite ? [-1, -0, 0, 1, 1] : [-1, -0, 0, 1, 1, NaN, Infinity, -Infinity])), {
      minLength: 1,
      maxLength: 12,
    })
    .map((values) => Float32Array.from(values))

describe.each(Object.entries(rankers))('%s', (name, { rank, isFinite = false, one = false }) => {
  const takesTheLowest = lawForAll(
    `${name} takes the lowest places of equal numbers`,
    { scores: someScores(isFinite), some: fc.nat() },
    (of: Rank, { scores, some }) => {
      const count = one ? 1 : 1 + (some % scores.length)
      expect(of(scores, count)).toEqual(byDefinition(scores, count))
    },
  )
  stateLaw(takesTheLowest, rank)

  const mutants: Readonly<Record<string, Rank>> = {
    'takes the last of equal ones': (scores, count) =>
      rank(scores.toReversed(), count)
        .map((n) => scores.length - 1 - n)
        .toReversed(),
    'ranks -0 below 0': (scores, count) =>
      rank(
        scores.map((x) => (Object.is(x, -0) ? -1e-30 : x)),
        count,
      ),
  }
  test.each(Object.entries(mutants))('one that %s is found', (_, mutant) => kills(takesTheLowest, mutant))
})

// ---- Limits that are met exactly --------------------------------------------------------------------------

/** How many of items of these sizes, from the first on, come under a limit. */
type Fill = (sizes: readonly number[], limit: number) => number

/** Things that are filled up to a limit. */
interface Filled {
  readonly fill: Fill
  /** The size between two items; default 0. */
  readonly gap?: number
  /** Items that are taken even if they are too large; default 0. */
  readonly least?: number
  /** Whether items differ in size, are equal, or have the size 1; default: they differ. */
  readonly sizes?: 'equal' | 'ones'
}

/** The number of items that have this size together. */
function countOf(sizes: readonly number[], total: number): number {
  let sum = 0
  return [0, ...sizes.map((size) => (sum += size))].indexOf(total)
}

/** The tokens of the prompt and of the continuation of the first window of words of these sizes, which short words follow. */
function firstWindow(sizes: readonly number[], prompt: number, continuation: number): [number, number] {
  const words = [...sizes, ...Array.from({ length: 20 }, () => 1)].map((size) => new Int32Array(size))
  const document = { name: '', genre: '', text: '' }
  const [window] = cutWindows(document, () => words, { prompt, continuation, prefixIds: [] })
  return window ? [window.promptLength, window.tokens.length - window.promptLength] : [0, 0]
}

const filled: Readonly<Record<string, Filled>> = {
  'the prompt of a window': { fill: (sizes, limit) => countOf(sizes, firstWindow(sizes, limit, 9)[0]) },
  'the continuation of a window': {
    fill: (sizes, limit) => countOf(sizes, firstWindow([2, ...sizes], 2, limit)[1]),
  },
  'the first window of a page': {
    fill: ({ length }, limit) => pageWindows(new Int32Array(length), limit, 0)[0].tokens.length - 1,
    sizes: 'ones',
  },
  'the first window of a stream': {
    fill: ({ length }, limit) => streamWindows(new Int32Array(length), limit, 1)[0].tokens.length,
    sizes: 'ones',
  },
  'a text, by windows to train on': {
    fill: ([size], limit) => cutStream(new Int32Array(limit), size + 1, 0).length,
    sizes: 'equal',
  },
  'a part of a folded table': {
    fill: (sizes, columns) => foldColumns(sizes, { columns, keys: 0 })[0].length,
    gap: GAP,
    least: 1,
  },
  'a wrapped line': {
    fill: (sizes, columns) => {
      const text = sizes.map((size) => 'x'.repeat(size)).join(' ')
      return wrapLines(text, columns).split('\n')[0].split(' ').length
    },
    gap: 1,
    least: 1,
  },
}

describe.each(Object.entries(filled))('%s', (name, { fill, gap = 0, least = 0, sizes: kind }) => {
  const sumOf = (sizes: readonly number[]): number =>
    sizes.reduce((sum, size) => sum + size, gap * Math.max(0, sizes.length - 1))
  const takesWhatFits = lawForAll(
    `${name} takes the items that fit exactly, and none that is one too large`,
    {
      drawn: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 9, size: 'max' }),
      some: fc.nat(),
      off: fc.constantFrom(-1, 0, 1),
    },
    (of: Fill, { drawn, some, off }) => {
      const sizes = kind === undefined ? drawn : drawn.map(() => (kind === 'ones' ? 1 : drawn[0]))
      const limit = Math.max(2, sumOf(sizes.slice(0, 1 + (some % (sizes.length - 1)))) + off)
      const counts = Array.from({ length: sizes.length + 1 }, (_, count) => count)
      const fitting = counts.findLast((count) => sumOf(sizes.slice(0, count)) <= limit) as number
      expect(of(sizes, limit)).toBe(Math.max(least, fitting))
    },
  )
  stateLaw(takesWhatFits, fill)

  test.each<[string, Fill]>([
    ['is full one too early', (sizes, limit) => fill(sizes, Math.max(2, limit - 1))],
    ['is full one too late', (sizes, limit) => fill(sizes, limit + 1)],
  ])('one that %s is found', (_, mutant) => kills(takesWhatFits, mutant))
})

// ---- Numbers shown at the limits of their form ------------------------------------------------------------

type Show = (value: number) => string

/** How numbers are shown. */
interface Shown {
  readonly show: Show
  /** The form of the text of a number that is not negative. */
  readonly form: (value: number) => RegExp
  /** The number of a text. */
  readonly read: (text: string) => number
  /** How far the number of a text may be from what is shown. */
  readonly within: (value: number) => number
  /** Whether only whole numbers are shown, from 0 on; default: no. */
  readonly isWhole?: boolean
  /** Numbers at which the form changes, besides powers of ten. */
  readonly limits?: readonly number[]
  /** A bug at one of these numbers, which the law must find. */
  readonly late: readonly [number, string]
}

const unitSizes = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, PiB: 2 ** 50 }
/** A whole part, with thousands set apart from 10,000 on. */
const apart = String.raw`(\d{1,4}|\d{2,3}(,\d{3})+|\d(,\d{3}){2,})`
const withoutCommas = (text: string): number => Number(text.replaceAll(',', ''))

const shown: Readonly<Record<string, Shown>> = {
  'a figure of four digits': {
    show: (value) => figure(value),
    form: (value) => {
      if (value !== 0 && (value < 1e-3 || value >= 1e7)) return /^\d\.\d{3}e-?\d+$/
      return value >= 1000
        ? new RegExp(`^${apart}$`)
        : /^(0\.0{0,2}[1-9]\d{3}|0\.000|(?=.{5}$)[1-9]\d*\.\d+|1000)$/
    },
    read: withoutCommas,
    within: (value) => 0.501e-3 * Math.abs(value),
    limits: [999.95, 9999.5, 99.995],
    late: [1e7, '10,000,000'],
  },
  'a figure of one decimal': {
    show: (value) => figure(value, 1),
    form: (value) => (value < 1e15 ? new RegExp(String.raw`^${apart}\.\d$`) : /^\d\.\d{3}e\d+$/),
    read: withoutCommas,
    within: (value) => (Math.abs(value) < 1e15 ? 0.0501 : 0.501e-3 * Math.abs(value)),
    limits: [9999.95],
    late: [1e4, '10000.0'],
  },
  'a count': {
    show: formatCount,
    form: () => /^\d{1,3}(,\d{3})*$/,
    read: withoutCommas,
    within: () => 0,
    isWhole: true,
    late: [1000, '1000'],
  },
  bytes: {
    show: formatBytes,
    form: (value) => {
      const unit = Object.entries(unitSizes).findLast(([, size]) => size <= Math.max(1, value)) as [
        string,
        number,
      ]
      if (unit[0] === 'B') return /^\d{1,4} B$/
      return new RegExp(
        String.raw`^${value / unit[1] < 10 ? String.raw`\d+\.\d` : String.raw`\d+`} ${unit[0]}$`,
      )
    },
    read: (text) => Number.parseFloat(text) * unitSizes[text.split(' ')[1] as keyof typeof unitSizes],
    within: (value) => 0.0501 * value,
    isWhole: true,
    limits: Object.values(unitSizes).flatMap((size) => [size, 10 * size]),
    late: [2 ** 20, '1024 KiB'],
  },
  'a duration': {
    show: formatSeconds,
    form: (value) => (value < 3600 ? /^[1-5]?\d:[0-5]\d$/ : /^[1-9]\d*:[0-5]\d:[0-5]\d$/),
    read: (text) => text.split(':').reduce((total, part) => 60 * total + Number(part), 0),
    within: () => 0,
    isWhole: true,
    limits: [60, 600, 3600, 36_000],
    late: [3600, '60:00'],
  },
  'a value of a picture': {
    show: brief,
    form: (value) => {
      if (value === 0) return /^0$/
      return value < 1e-3 || value >= 1e5
        ? /^\d\.\d\de[+-]\d+$/
        : /^(0\.0{0,2}[1-9]\d\d|[1-9][\d.]{2,3}|[1-9]\.\d\de\+\d)$/
    },
    read: Number,
    within: (value) => 0.501e-2 * Math.abs(value),
    limits: [999.5],
    late: [1e-3, '1.00e-3'],
  },
}

/** A number, and the numbers of float64 next to it. */
function neighbours(value: number): number[] {
  const [bits] = new BigInt64Array(Float64Array.of(value).buffer)
  return [-1n, 0n, 1n].map((off) => new Float64Array(BigInt64Array.of(bits + off).buffer)[0])
}

describe.each(Object.entries(shown))(
  '%s',
  (name, { show, form, read, within, isWhole, limits = [], late }) => {
    const powers = Array.from({ length: 23 }, (_, i) => 10 ** (i - 6))
    const values = [...powers, ...limits].flatMap((limit) =>
      isWhole ? [-1, 0, 1].map((off) => Math.max(0, Math.round(limit) + off)) : neighbours(limit),
    )
    const readsBack = lawForAll(
      `${name} has one form, and reads back as the number it shows, at every limit of the form`,
      { value: fc.constantFrom(0, ...values), isNegative: fc.boolean() },
      (of: Show, { value, isNegative }) => {
        const number = isNegative && !isWhole ? -value : value
        const text = of(number)
        expect(text.replace('-', number < 0 ? '' : '-')).toMatch(form(value))
        expect(Math.abs(read(text) - number)).toBeLessThanOrEqual(within(number))
      },
      { runs: 1000 },
    )
    stateLaw(readsBack, show)

    test('one that changes its form one number too late is found', () =>
      kills(readsBack, (value) => (value === late[0] ? late[1] : show(value))))
  },
)
