/**
 * The relaxed products of bytes are exact where kernels use them.
 *
 *   i16x8.relaxed_dot_i8x16_i7x16_s        y[i] = a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1]
 *   i32x4.relaxed_dot_i8x16_i7x16_add_s    y[i] = c[i] + the four products of lanes 4 i to 4 i + 3
 *
 * WebAssembly lets an engine read a byte of b as signed or as unsigned, and saturate the sum of a pair at 16 bits. With b in
 * 0..127 neither can be told: the sum of a pair is between -32,512 and 32,258. So b must be a plane of at most seven bits.
 * 4-bit numbers are one. Numbers of more bits are two, where they are below 2^13 in size: q + 8192 = 128 high + low.
 */
import binaryen from 'binaryen'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { probeWasm } from '../../../src/platform/wasm_features.ts'
import { sameNumbers } from '../../../src/verify/compare.ts'
import { anyData, killsEach, lawAlways, lawForAll, lawOf, stateLaw } from '../../harness/seed.ts'

/** Both instructions. a: [16]; b: [16], a plane; c: [4]. */
interface ByteProducts {
  readonly pairs: (a: Int8Array, b: Uint8Array) => ArrayLike<number> // [8]
  readonly quads: (a: Int8Array, b: Uint8Array, c: Int32Array) => ArrayLike<number> // [4]
}

/** Sixteen numbers of at most seven bits. @throws RangeError for another number */
function planeOf(numbers: readonly number[]): Uint8Array {
  for (const number of numbers)
    if (!(Number.isInteger(number) && number >= 0 && number <= 127))
      throw new RangeError(`expected a plane of numbers in 0..127, got ${number}`)
  return Uint8Array.from(numbers)
}

// ---- The engine -----------------------------------------------------------------------------------------------

const operand = (at: number): string => `(v128.load (i32.const ${at}))`

const text = `(module
  (memory (export "memory") 1)
  (func (export "pairs")
    (v128.store (i32.const 48) (i16x8.relaxed_dot_i8x16_i7x16_s ${operand(0)} ${operand(16)})))
  (func (export "quads")
    (v128.store (i32.const 48)
      (i32x4.relaxed_dot_i8x16_i7x16_add_s ${operand(0)} ${operand(16)} ${operand(32)}))))`

/** This engine's instructions. */
function engineProducts(): ByteProducts {
  const source = binaryen.parseText(text)
  source.setFeatures(binaryen.Features.All)
  const module = new WebAssembly.Module(source.emitBinary() as Uint8Array<ArrayBuffer>)
  source.dispose()
  const { exports } = new WebAssembly.Instance(module)
  const { memory, pairs, quads } = exports as {
    memory: WebAssembly.Memory
    pairs: () => void
    quads: () => void
  }
  const bytes = new Uint8Array(memory.buffer, 0, 48)
  const [left, accumulators] = [new Int8Array(memory.buffer, 0, 16), new Int32Array(memory.buffer, 32, 4)]
  const [eight, four] = [new Int16Array(memory.buffer, 48, 8), new Int32Array(memory.buffer, 48, 4)]
  return {
    pairs(a, b) {
      left.set(a)
      bytes.set(b, 16)
      pairs()
      return eight
    },
    quads(a, b, c) {
      left.set(a)
      bytes.set(b, 16)
      accumulators.set(c)
      quads()
      return four
    },
  }
}

// ---- Laws -----------------------------------------------------------------------------------------------------

/** @throws Error if a product is not the whole number that it is */
function expectExact(products: ByteProducts, a: Int8Array, b: Uint8Array, c: Int32Array): void {
  const pair = (i: number): number => a[i] * b[i] + a[i + 1] * b[i + 1]
  const pairs = [0, 2, 4, 6, 8, 10, 12, 14].map(pair)
  sameNumbers('pairs', products.pairs(a, b), pairs)
  sameNumbers(
    'quads',
    products.quads(a, b, c),
    Array.from(c, (start, i) => start + pairs[2 * i] + pairs[2 * i + 1]),
  )
}

const everyPair = lawAlways<ByteProducts>(
  'every pair of -128..127 and 0..127, in every lane, gives its product',
  (products) => {
    const [a, b, c] = [new Int8Array(16), new Uint8Array(16), new Int32Array(4)]
    for (let first = 0; first < 256; first++)
      for (let second = 0; second < 128; second++) {
        for (let lane = 0; lane < 16; lane++) {
          a[lane] = first + 37 * lane
          b[lane] = (second + 11 * lane) & 127
        }
        c.fill(first * second)
        expectExact(products, a, b, c)
      }
  },
)

const extremes = lawForAll(
  'sums of the largest and smallest products are exact, added to any number',
  {
    a: fc.array(fc.constantFrom<number>(-128, -127, 0, 127), { minLength: 16, maxLength: 16 }),
    b: fc.array(fc.constantFrom<number>(0, 1, 126, 127), { minLength: 16, maxLength: 16 }),
    c: fc.array(fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), { minLength: 4, maxLength: 4 }),
  },
  (products: ByteProducts, { a, b, c }) =>
    expectExact(products, Int8Array.from(a), planeOf(b), Int32Array.from(c)),
  {
    examples: [-128, 127].map((a) => ({
      a: Array.from({ length: 16 }, () => a),
      b: Array.from({ length: 16 }, () => 127),
      c: [0, 0, 0, 0],
    })),
  },
)

/** A number as planes, and how much each counts; `offset` times every weight is taken off. */
interface Split {
  readonly planesOf: (q: number) => readonly number[]
  readonly factors: readonly number[]
  readonly offset: number
  readonly most: number
}

const twoPlanes: Split = {
  planesOf: (q) => [(q + 8192) >> 7, (q + 8192) & 127],
  factors: [128, 1],
  offset: 8192,
  most: 8191,
}

/** How a number splits, and what multiplies its planes. */
interface PlaneProducts extends ByteProducts {
  readonly split: Split
}

const planesAreProducts = lawForAll(
  'numbers of 14 bits as two planes of seven give their exact products with int8 weights',
  { data: anyData },
  ({ quads, split: { planesOf, factors, offset, most } }: PlaneProducts, { data }) => {
    const weights = Int8Array.from(
      data.numbers('weights', 16, (stream) => stream.pick([-128, 127, stream.integer(-128, 127)]), 0),
    )
    const q = [
      ...data.numbers('q', 16, (stream) => stream.pick([-most, most, 0, stream.integer(-most, most)]), 0),
    ]
    const sums = [0, 0, 0, 0]
    factors.forEach((factor, p) => {
      const plane = planeOf(q.map((number) => planesOf(number)[p]))
      Array.from(quads(weights, plane, new Int32Array(4))).forEach((sum, i) => (sums[i] += factor * sum))
    })
    const inQuad = (i: number, of: (lane: number) => number): number =>
      [0, 1, 2, 3].reduce((sum, k) => sum + of(4 * i + k), 0)
    sameNumbers(
      'sums',
      sums.map((sum, i) => sum - offset * inQuad(i, (lane) => weights[lane])),
      [0, 1, 2, 3].map((i) => inQuad(i, (lane) => q[lane] * weights[lane])),
    )
  },
)

describe.skipIf(!probeWasm().relaxedSimd)(
  probeWasm().relaxedSimd ? 'on this engine' : 'on this engine, which has no relaxed SIMD',
  () => {
    const products = probeWasm().relaxedSimd ? engineProducts() : modelOf({})
    stateLaw(everyPair, products)
    stateLaw(extremes, products)
    stateLaw(planesAreProducts, { ...products, split: twoPlanes })
  },
)

test('4-bit numbers are a plane, and each of two planes has all of seven bits', () => {
  const all = Array.from({ length: 2 * 8191 + 1 }, (_, n) => twoPlanes.planesOf(n - 8191))
  for (const planes of all) planeOf(planes)
  planeOf(Array.from({ length: 16 }, (_, n) => n))
  for (const plane of [0, 1])
    expect(new Set(all.map((planes) => planes[plane]))).toEqual(
      new Set(Array.from({ length: 128 }, (_, n) => n)),
    )
  expect(() => planeOf([128])).toThrow('0..127, got 128')
  expect(() => planeOf([-1])).toThrow('0..127, got -1')
})

// ---- Engines as WebAssembly permits them, and engines that are wrong ---------------------------------------------

interface Model {
  readonly first?: (byte: number) => number
  readonly second?: (byte: number) => number
  /** Of the sum of a pair. */
  readonly fit?: (sum: number) => number
}

const saturated = (sum: number): number => Math.max(-32768, Math.min(32767, sum))
const wrapped = (sum: number): number => (sum << 16) >> 16
const asSigned = (byte: number): number => (byte << 24) >> 24

/** An engine that computes as a model says. */
function modelOf({ first = (byte) => byte, second = (byte) => byte, fit = saturated }: Model): ByteProducts {
  const pairs = (a: Int8Array, b: Uint8Array): number[] =>
    [0, 2, 4, 6, 8, 10, 12, 14].map((i) =>
      fit(first(a[i]) * second(b[i]) + first(a[i + 1]) * second(b[i + 1])),
    )
  const quads = (a: Int8Array, b: Uint8Array, c: Int32Array): number[] => {
    const sums = pairs(a, b)
    return Array.from(c, (start, i) => (start + sums[2 * i] + sums[2 * i + 1]) | 0)
  }
  return { pairs, quads }
}

describe('an engine that WebAssembly permits keeps the laws:', () => {
  const permitted = [
    ['bytes unsigned, sums saturated', modelOf({})],
    ['bytes unsigned, sums wrapped', modelOf({ fit: wrapped })],
    ['bytes signed', modelOf({ second: asSigned })],
  ] as const
  describe.each(permitted)('%s', (_, model) => {
    stateLaw(everyPair, model)
    stateLaw(extremes, model)
    stateLaw(planesAreProducts, { ...model, split: twoPlanes })
  })

  test('they differ where an operand has eight bits', () => {
    const [a, b] = [new Int8Array(16).fill(127), new Uint8Array(16).fill(255)]
    expect(permitted.map(([, { pairs }]) => pairs(a, b)[0])).toEqual([32767, -766, -254])
  })
})

describe('mutants are killed:', () => {
  killsEach('%s', everyPair, {
    'the first operand unsigned': modelOf({ first: (byte) => byte & 255 }),
    'operands exchanged': {
      ...modelOf({}),
      pairs: (a, b) => modelOf({}).pairs(new Int8Array(b), new Uint8Array(a)),
    },
    'lanes exchanged': { ...modelOf({}), pairs: (a, b) => Array.from(modelOf({}).pairs(a, b)).toReversed() },
  })

  killsEach('%s', extremes, {
    'sums of pairs saturated one too early': modelOf({ fit: (sum) => Math.max(-32511, sum) }),
    'nothing added': { ...modelOf({}), quads: (a, b) => modelOf({}).quads(a, b, new Int32Array(4)) },
  })

  killsEach(
    '%s',
    lawOf(planesAreProducts, (change: Partial<Split>) => ({
      ...modelOf({}),
      split: { ...twoPlanes, ...change },
    })),
    {
      'a plane of eight bits': { planesOf: (q) => [(q + 8192) >> 8, (q + 8192) & 255], factors: [256, 1] },
      'numbers of 15 bits in two planes': { most: 16_383 },
      'one number too many': { most: 8192 },
      'planes with signs': { planesOf: (q) => [q >> 7, q & 127], offset: 0 },
      'the offset forgotten': { offset: 0 },
    },
  )
})
