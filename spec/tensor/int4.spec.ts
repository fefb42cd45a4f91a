/**
 * Blocks of 4-bit numbers: how they are rounded, that both layouts hold the same numbers, and that they are blocks of GGUF.
 *
 * The numbers of a block are read here byte by byte, as ggml has them. Places in the layouts follow from the sentences at the
 * head of src/tensor/int4.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ggufTypes, type GgufType } from '../../src/io/gguf_blocks.ts'
import { narrowToF16, widenF16 } from '../../src/tensor/halves.ts'
import {
  areFinite,
  BLOCK,
  BLOCK_BYTES,
  blocksOf,
  dequantizeBlocks,
  interleaveRows,
  openRow,
  QUAD_BYTES,
  quantizeBlocks,
  scaleAt,
  TILE,
  TILE_BYTES,
  turnBlocks,
  unitNumber,
} from '../../src/tensor/int4.ts'
import { type DataKind } from '../../src/testing/seeded_data.ts'
import { near, sameBits, sameNumbers } from '../../src/verify/compare.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'

const rows = fc.integer({ min: 1, max: 9 })
const inputs = fc.integer({ min: 1, max: 150 })

/** A block, read from its 20 bytes. */
interface Block {
  readonly scale: number
  readonly minimum: number
  readonly numbers: readonly number[] // [32]
}

/** Block number `at` of these words. */
function blockAt(words: Uint32Array, at: number): Block {
  const bytes = new Uint8Array(words.buffer, words.byteOffset + at * BLOCK_BYTES, BLOCK_BYTES)
  const [scale, minimum] = widenF16(new Uint16Array(words.buffer, bytes.byteOffset, 2))
  const numbers = Array.from({ length: BLOCK }, (_, i) =>
    i < 16 ? bytes[4 + i] & 15 : bytes[4 + i - 16] >> 4,
  )
  return { scale, minimum, numbers }
}

/** The numbers of block b of a row: fewer than 32 in the last. */
function numbersIn(x: Float32Array, row: number, b: number, I: number): Float32Array {
  return x.subarray(row * I + b * BLOCK, row * I + Math.min(I, (b + 1) * BLOCK))
}

const valueOfHalf = (pattern: number): number => widenF16(Uint16Array.of(pattern))[0]
const roundedToHalf = (value: number): number => valueOfHalf(narrowToF16(Float32Array.of(value))[0])

/** What rounding to half precision may change: half a unit of eleven bits, or of the subnormal numbers. */
const roundingInHalf = (value: number): number => Math.max(2 ** -11 * Math.abs(value), 2 ** -25)

describe('rounding', () => {
  type Quantize = typeof quantizeBlocks
  /** The largest whole number that half precision does not round to infinity. */
  const past = 65_519

  /** A law of each block of a matrix. */
  const lawOfBlocks = (
    sentence: string,
    kinds: readonly DataKind[],
    check: (block: Block, x: Float32Array) => void,
  ) =>
    lawForAll(
      sentence,
      { O: rows, I: inputs, kind: fc.constantFrom(...kinds), data: anyData },
      (quantize: Quantize, { O, I, kind, data }) => {
        const x = data.floats('x', [O, I], kind).map((value) => Math.max(-past, Math.min(past, value)))
        const words = quantize(x, O, I)
        expect(words).toHaveLength(5 * O * blocksOf(I))
        for (let row = 0; row < O; row++)
          for (let b = 0; b < blocksOf(I); b++)
            check(blockAt(words, row * blocksOf(I) + b), numbersIn(x, row, b, I))
      },
    )

  const isNear = lawOfBlocks(
    'each number is within half a step, and what half precision rounds off the scale and the minimum',
    ['plain', 'steep', 'ties', 'smooth'],
    ({ scale, minimum, numbers }, x) => {
      const values = Array.from(x, (_, i) => scale * numbers[i] + minimum)
      const range = Math.max(...x) - Math.min(...x)
      near('x', values, x, 0.5 * scale + 15 * roundingInHalf(range / 15) + roundingInHalf(Math.min(...x)))
    },
  )
  stateLaw(isNear, quantizeBlocks)

  const isNearest = lawOfBlocks(
    'each number is the nearest of the sixteen that its block has, for numbers of any size that half precision has',
    ['plain', 'steep', 'ties', 'wild'],
    ({ scale, minimum, numbers }, x) => {
      const distance = (i: number, n: number): number => Math.abs(x[i] - (scale * n + minimum))
      x.forEach((value, i) => {
        const least = Math.min(...Array.from({ length: 16 }, (_, n) => distance(i, n)))
        near(`x[${i}]`, [distance(i, numbers[i])], [least], 2 ** -40 * (Math.abs(value) + 1))
      })
    },
  )
  stateLaw(isNearest, quantizeBlocks)

  const spansBlock = lawOfBlocks(
    'the minimum is the least number and fifteen scales are the range, in half precision and finite',
    ['plain', 'steep', 'ties', 'wild'],
    ({ scale, minimum, numbers }, x) => {
      const [least, most] = [Math.min(...x), Math.max(...x)]
      sameNumbers(
        'scale, minimum',
        [scale, minimum],
        [roundedToHalf((most - least) / 15), roundedToHalf(least)],
      )
      expect(numbers.slice(x.length)).toEqual(Array.from({ length: BLOCK - x.length }, () => 0))
    },
  )
  stateLaw(spansBlock, quantizeBlocks)

  test('zeros are blocks of zeros, and a constant is the minimum of its block', () => {
    expect(quantizeBlocks(new Float32Array(70), 2, 35)).toEqual(new Uint32Array(20))
    for (const constant of [1, -0.375, 65_504, -65_504])
      expect(dequantizeBlocks(quantizeBlocks(new Float32Array(70).fill(constant), 2, 35), 2, 35)).toEqual(
        new Float32Array(70).fill(constant),
      )
  })

  test('a block whose scale or minimum is past half precision is not finite, and no number is lost in silence', () => {
    const isFinite = (...x: number[]): boolean => areFinite(quantizeBlocks(Float32Array.from(x), 1, x.length))
    expect([past, -past].map((x) => isFinite(x, 0))).toEqual([true, true])
    expect(isFinite(past, -past)).toBe(true)
    expect([65_520, -65_520, 1e30, -1e30].map((x) => isFinite(x, x))).toEqual([false, false, false, false])
    expect([-65_520, 15 * 65_520, 1e30].map((x) => isFinite(0, x))).toEqual([false, false, false])
  })

  describe('mutants are killed:', () => {
    /** Rounding with something done to the words, or to the numbers before. */
    const changed =
      (before: (x: Float32Array, I: number) => Float32Array, after: (words: Uint32Array) => void): Quantize =>
      (x, O, I) => {
        const words = quantizeBlocks(before(x, I), O, I)
        after(words)
        return words
      }
    const same = (x: Float32Array): Float32Array => x
    const eachHead = (change: (head: number) => number) => (words: Uint32Array) => {
      for (let at = 0; at < words.length; at += 5) words[at] = change(words[at])
    }
    const isHead = (n: number): boolean => n % 5 === 0

    test('the first number of each block a step too small', async () => {
      const lower = changed(same, (words) => {
        for (let at = 1; at < words.length; at += 5) words[at] -= (words[at] & 15) > 0 ? 1 : 0
      })
      await kills(isNearest, lower)
      await kills(isNear, lower)
    })
    test('a scale one unit too large', () =>
      kills(
        spansBlock,
        changed(
          same,
          eachHead((head) => head + 1),
        ),
      ))
    test('scale and minimum exchanged', async () => {
      const exchanged = changed(
        same,
        eachHead((head) => (head >>> 16) | (head << 16)),
      )
      await kills(spansBlock, exchanged)
      await kills(isNear, exchanged)
    })
    test('the last number of a row left out', async () => {
      const short = changed(
        (x, I) => x.map((value, n) => (n % I === I - 1 ? x[n - (I > 1 ? 1 : 0)] : value)),
        () => {},
      )
      await kills(isNear, short)
      await kills(spansBlock, short)
    })
    test('numbers behind the end of a row not zero', () =>
      kills(
        spansBlock,
        changed(same, (words) =>
          words.forEach((word, n) => (words[n] = isHead(n) ? word : word | 0xf0000000)),
        ),
      ))
    test('numbers past half precision clamped to its largest', () =>
      kills(
        spansBlock,
        changed(
          (x) => x.map((value) => Math.max(-4096, Math.min(4096, value))),
          () => {},
        ),
      ))
  })
})

describe('blocks of GGUF', () => {
  const typeNamed = (name: string): GgufType =>
    [...ggufTypes.values()].find((type) => type.name === name) as GgufType
  const decoded = (name: string, bytes: Uint8Array): Float32Array => {
    const { decode, bytes: size } = typeNamed(name)
    const out = new Float32Array((bytes.length / size) * BLOCK)
    decode?.(bytes, out)
    return out
  }

  type Dequantize = typeof dequantizeBlocks

  const isQ4_1 = lawForAll(
    'the bytes of whole blocks are those of Q4_1: they stand for the same numbers, bit for bit',
    { O: rows, B: fc.integer({ min: 1, max: 5 }), data: anyData },
    (dequantize: Dequantize, { O, B, data }) => {
      const words = data.blocks('words', O * B, 'wild')
      sameBits('x', dequantize(words, O, B * BLOCK), decoded('Q4_1', new Uint8Array(words.buffer)))
    },
  )
  stateLaw(isQ4_1, dequantizeBlocks)

  const isQ4_0 = lawForAll(
    'a block of Q4_0 is one with the minimum -8 times its scale',
    { O: rows, B: fc.integer({ min: 1, max: 5 }), data: anyData },
    (dequantize: Dequantize, { O, B, data }) => {
      const scales = data
        .halves('scales', 'f16', [O, B], 'wild')
        .map((scale) => (Math.abs(valueOfHalf(scale)) > 8188 ? 1 : scale))
      const bytes = data.deal(
        'bytes',
        [O, B, 18],
        (stream) => Uint8Array.from({ length: 18 * O * B }, () => stream.below(256)),
        { blank: 0 },
      )
      const words = new Uint32Array(5 * O * B)
      scales.forEach((scale, block) => {
        const from = bytes.subarray(18 * block, 18 * (block + 1))
        from.set([scale & 255, scale >> 8])
        const [minimum] = narrowToF16(Float32Array.of(-8 * valueOfHalf(scale)))
        const to = new Uint8Array(words.buffer, BLOCK_BYTES * block)
        to.set(new Uint8Array(Uint16Array.of(scale, minimum).buffer))
        to.set(from.subarray(2), 4)
      })
      sameNumbers('x', dequantize(words, O, B * BLOCK), decoded('Q4_0', bytes))
    },
  )
  stateLaw(isQ4_0, dequantizeBlocks)

  const stopsAtEnd = lawForAll(
    'of a last block that is not full the first numbers count',
    { O: rows, I: inputs, data: anyData },
    (dequantize: Dequantize, { O, I, data }) => {
      const words = data.blocks('words', O * blocksOf(I))
      const whole = dequantizeBlocks(words, O, blocksOf(I) * BLOCK)
      const expected = Float32Array.from(
        { length: O * I },
        (_, n) => whole[Math.floor(n / I) * blocksOf(I) * BLOCK + (n % I)],
      )
      sameBits('x', dequantize(words, O, I), expected)
    },
  )
  stateLaw(stopsAtEnd, dequantizeBlocks)

  const swapped: Dequantize = (words, O, I) =>
    dequantizeBlocks(
      words.map((word, n) => (n % 5 === 0 ? word : ((word >>> 4) & 0x0f0f0f0f) | ((word & 0x0f0f0f0f) << 4))),
      O,
      I,
    )
  test('a mutant that exchanges the halves of bytes is killed', async () => {
    await kills(isQ4_1, swapped)
    await kills(isQ4_0, swapped)
  })
  test('a mutant whose rows end in whole blocks is killed', () =>
    kills(stopsAtEnd, (words, O, I) => dequantizeBlocks(words, O, blocksOf(I) * BLOCK).subarray(0, O * I)))
})

describe('layouts', () => {
  type Interleave = typeof interleaveRows
  type Open = typeof openRow
  type Turn = typeof turnBlocks

  const blocks = fc.integer({ min: 1, max: 5 })

  const standsSideBySide = lawForAll(
    'four rows stand side by side: four scales, four minima, then of each row four bytes of each sixteen',
    { O: rows, B: blocks, data: anyData },
    (interleave: Interleave, { O, B, data }) => {
      const words = data.blocks('words', O * B, 'wild')
      const bytes = new Uint8Array(words.buffer)
      const expected = new Uint8Array(Math.ceil(O / 4) * B * QUAD_BYTES)
      for (let o = 0; o < O; o++)
        for (let b = 0; b < B; b++) {
          const [from, r] = [(o * B + b) * BLOCK_BYTES, o % 4]
          const quad = expected.subarray((Math.floor(o / 4) * B + b) * QUAD_BYTES)
          quad.set(bytes.subarray(from, from + 2), 2 * r)
          quad.set(bytes.subarray(from + 2, from + 4), 8 + 2 * r)
          for (let j = 0; j < 4; j++)
            quad.set(bytes.subarray(from + 4 + 4 * j, from + 8 + 4 * j), 16 + 16 * j + 4 * r)
        }
      expect(interleave(words, O, B)).toEqual(expected)
    },
  )
  stateLaw(standsSideBySide, interleaveRows)

  const opensAsWas = lawForAll(
    'a row of four is opened as it was',
    { O: rows, B: blocks, data: anyData },
    (open: Open, { O, B, data }) => {
      const words = data.blocks('words', O * B, 'wild')
      const quads = interleaveRows(words, O, B)
      for (let o = 0; o < O; o++) {
        const own = Array.from({ length: B }, (_, b) => blockAt(words, o * B + b))
        const { numbers, scales, minima } = open(quads, o, B)
        expect([...numbers]).toEqual(own.flatMap((block) => block.numbers))
        sameBits(
          'scales',
          scales,
          own.map(({ scale }) => scale),
        )
        sameBits(
          'minima',
          minima,
          own.map(({ minimum }) => minimum),
        )
      }
    },
  )
  stateLaw(opensAsWas, openRow)

  const turns = lawForAll(
    'a tile of 64 outputs has a row for each unit, two numbers a byte, and 64 scales and 64 minima for each block',
    { O: fc.integer({ min: 1, max: 140 }), I: inputs, data: anyData },
    (turn: Turn, { O, I, data }) => {
      const [B, C] = [blocksOf(I), Math.ceil(O / TILE)]
      const words = data.blocks('words', O * B, 'wild')
      const { values, scales } = turn(words, O, I)
      const expected = { values: new Uint8Array(C * I * 32), scales: new Float32Array(C * B * 128) }
      for (let o = 0; o < O; o++) {
        const [c, k] = [Math.floor(o / 64), o % 64]
        const byte = 16 * Math.floor(k / 32) + (k % 16)
        const isUpper = k % 32 >= 16
        for (let b = 0; b < B; b++) {
          const { scale, minimum, numbers } = blockAt(words, o * B + b)
          expected.scales[128 * (c * B + b) + k] = scale
          expected.scales[128 * (c * B + b) + 64 + k] = minimum
          for (let i = b * BLOCK; i < Math.min(I, (b + 1) * BLOCK); i++)
            expected.values[32 * (c * I + i) + byte] |= numbers[i - b * BLOCK] * (isUpper ? 16 : 1)
        }
      }
      sameNumbers('values', values, expected.values)
      sameBits('scales', scales, expected.scales)
    },
    { runs: 40 },
  )
  stateLaw(turns, turnBlocks)

  /** How numbers and scales of units are read. */
  interface Read {
    readonly number: typeof unitNumber
    readonly scale: typeof scaleAt
  }

  const readsAsWas = lawForAll(
    'a number, a scale and a minimum of an output are read as they were, with room behind the rows or none',
    { O: fc.integer({ min: 1, max: 140 }), I: inputs, room: fc.nat(3), data: anyData },
    ({ number, scale }: Read, { O, I, room, data }) => {
      const [B, C, S] = [blocksOf(I), Math.ceil(O / TILE), I + room]
      const words = data.blocks('words', O * B, 'wild')
      const { values, scales } = turnBlocks(words, O, I)
      const roomy = new Uint8Array(C * S * TILE_BYTES)
      for (let c = 0; c < C; c++)
        roomy.set(values.subarray(c * I * TILE_BYTES, (c + 1) * I * TILE_BYTES), c * S * TILE_BYTES)
      for (let o = 0; o < O; o++)
        for (let b = 0; b < B; b++) {
          const block = blockAt(words, o * B + b)
          const at = scale(o, b, B)
          sameBits('scale, minimum', [scales[at], scales[at + TILE]], [block.scale, block.minimum])
          for (let i = b * BLOCK; i < Math.min(I, (b + 1) * BLOCK); i++)
            sameNumbers(`[${i}, ${o}]`, [number(roomy, o, i, S)], [block.numbers[i - b * BLOCK]])
        }
    },
    { runs: 40 },
  )
  stateLaw(readsAsWas, { number: unitNumber, scale: scaleAt })

  describe('mutants are killed:', () => {
    test('rows in the order of the file', () =>
      kills(standsSideBySide, (words, O, B) => {
        const quads = new Uint8Array(Math.ceil(O / 4) * B * QUAD_BYTES)
        quads.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength))
        return quads
      }))
    test('scales and minima in pairs', () =>
      kills(standsSideBySide, (words, O, B) => {
        const quads = interleaveRows(words, O, B)
        for (let at = 0; at < quads.length; at += QUAD_BYTES) {
          const head = quads.slice(at, at + 16)
          for (let r = 0; r < 4; r++)
            for (let k = 0; k < 2; k++) {
              quads[at + 4 * r + k] = head[2 * r + k]
              quads[at + 4 * r + 2 + k] = head[8 + 2 * r + k]
            }
        }
        return quads
      }))
    test.each<[string, Open]>([
      ['the row beside it', (quads, o, B) => openRow(quads, o ^ 1, B)],
      [
        'a row whose upper numbers are its lower ones',
        (quads, o, B) => {
          const row = openRow(quads, o, B)
          return { ...row, numbers: row.numbers.map((_, i) => row.numbers[i & ~16]) }
        },
      ],
      ['a row without minima', (quads, o, B) => ({ ...openRow(quads, o, B), minima: new Float32Array(B) })],
    ])('%s', (_, mutant) => kills(opensAsWas, mutant))
    test.each<[string, Turn]>([
      [
        'outputs in pairs: 0 and 1 in a byte',
        (words, O, I) => {
          const { values, scales } = turnBlocks(words, O, I)
          const paired = values.map((_, n) => {
            const [c, i, k] = [Math.floor(n / (32 * I)), Math.floor(n / 32) % I, n % 32]
            const [even, odd] = [0, 1].map((o) => unitNumber(values, 64 * c + 2 * k + o, i, I))
            return even | (odd << 4)
          })
          return { values: paired, scales }
        },
      ],
      [
        'a scale and a minimum in turn',
        (words, O, I) => {
          const { values, scales } = turnBlocks(words, O, I)
          const inTurn = scales.map((_, n) => scales[n - (n % 128) + 64 * (n % 2) + ((n % 128) >> 1)])
          return { values, scales: inTurn }
        },
      ],
    ])('%s', (_, mutant) => kills(turns, mutant))
    const reading = { number: unitNumber, scale: scaleAt }
    test.each<[string, Partial<Read>]>([
      ['every output from the first tile', { number: (values, o, i, S) => unitNumber(values, o % 64, i, S) }],
      ['the other half of a byte', { number: (values, o, i, S) => unitNumber(values, o ^ 16, i, S) }],
      ['scales by outputs', { scale: (o, b, B) => o * B + b }],
    ])('%s', (_, mutant) => kills(readsAsWas, { ...reading, ...mutant }))
  })
})
