/**
 * The blocks of every quantised type of GGUF give the numbers that ggml's reference gives, bit for bit
 * (fixtures/golden-llama/gguf/blocks: raw blocks, among them scales of zero, a subnormal one and 60,000).
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ggufTypes, type GgufType } from '../../src/io/gguf_blocks.ts'
import { widenF16 } from '../../src/tensor/halves.ts'
import { BLOCK, BLOCK_BYTES, dequantizeBlocks } from '../../src/tensor/int4.ts'
import { sameBits, sameNumbers } from '../../src/verify/compare.ts'
import { killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'

const folder = fileURLToPath(new URL('../../fixtures/golden-llama/gguf/blocks', import.meta.url))

const types = [...ggufTypes.values()].filter(({ decode }) => decode !== null)

/** The raw blocks of a type and their numbers. */
const goldens = new Map(
  types.map(({ name }) => {
    const numbers = readFileSync(join(folder, `${name}.f32`))
    return [
      name,
      {
        blocks: new Uint8Array(readFileSync(join(folder, `${name}.bin`))),
        numbers: new Float32Array(
          numbers.buffer.slice(numbers.byteOffset, numbers.byteOffset + numbers.length),
        ),
      },
    ]
  }),
)

type Decode = (type: GgufType, blocks: Uint8Array) => Float32Array

const decode: Decode = ({ decode: own, bytes, numbers }, blocks) => {
  const out = new Float32Array((blocks.length / bytes) * numbers).fill(NaN)
  own?.(blocks, out)
  return out
}

const sameAsGgml = lawForAll(
  'blocks from any place on, and any number of them, give the numbers of ggml bit for bit',
  { type: fc.constantFrom(...types), first: fc.nat(39), count: fc.integer({ min: 1, max: 40 }) },
  (judged: Decode, { type, first, count }) => {
    const { blocks, numbers } = goldens.get(type.name) as { blocks: Uint8Array; numbers: Float32Array }
    const end = Math.min(first + count, blocks.length / type.bytes)
    const got = judged(type, blocks.subarray(first * type.bytes, end * type.bytes))
    sameBits(type.name, got, numbers.subarray(first * type.numbers, end * type.numbers))
  },
  { runs: 300, examples: types.map((type) => ({ type, first: 0, count: 40 })) },
)
stateLaw(sameAsGgml, decode)

test('all types of the format that are supported have golden blocks', () => {
  expect(types.map(({ name }) => name)).toEqual([
    'Q4_0',
    'Q4_1',
    'Q5_0',
    'Q5_1',
    'Q8_0',
    'Q4_K',
    'Q5_K',
    'Q6_K',
  ])
  for (const { blocks, numbers } of goldens.values())
    expect(blocks.length * numbers.length).toBeGreaterThan(0)
})

describe('blocks as those of int4', () => {
  type AsQ4_1 = (type: GgufType, blocks: Uint8Array) => Uint8Array
  const asQ4_1: AsQ4_1 = (type, blocks) => type.asQ4_1?.(blocks) ?? new Uint8Array(0)
  const held = types.filter((type) => type.asQ4_1 !== undefined)
  /** The largest scale of Q4_0 whose minimum, -8 times as large, is one of half precision. */
  const LARGEST = 65_504 / 8

  const sameAsDecoded = lawForAll(
    'stand for the same numbers, but where a minimum is past half precision',
    { type: fc.constantFrom(...held), first: fc.nat(39), count: fc.integer({ min: 1, max: 40 }) },
    (judged: AsQ4_1, { type, first, count }) => {
      const { blocks, numbers } = goldens.get(type.name) as { blocks: Uint8Array; numbers: Float32Array }
      const end = Math.min(first + count, blocks.length / type.bytes)
      const bytes = judged(type, blocks.subarray(first * type.bytes, end * type.bytes))
      expect(bytes.length).toBe((end - first) * BLOCK_BYTES)
      const got = dequantizeBlocks(new Uint32Array(bytes.slice().buffer), end - first, BLOCK)
      for (let b = first; b < end; b++) {
        const of = (all: Float32Array, at: number): Float32Array => all.subarray(at * BLOCK, (at + 1) * BLOCK)
        const [scale] = widenF16(new Uint16Array(blocks.slice(b * type.bytes, b * type.bytes + 2).buffer))
        if (type.name === 'Q4_0' && Math.abs(scale) > LARGEST) continue
        sameNumbers(`${type.name} ${b}`, of(got, b - first), of(numbers, b))
      }
    },
    { runs: 100, examples: held.map((type) => ({ type, first: 0, count: 40 })) },
  )
  stateLaw(sameAsDecoded, asQ4_1)

  test('only types whose numbers they can be have them', () => {
    expect(held.map(({ name }) => name)).toEqual(['Q4_0', 'Q4_1'])
  })

  killsEach(
    'a mutant is killed: %s',
    lawOf(sameAsDecoded, (change: (bytes: Uint8Array) => void) => (type, blocks) => {
      const bytes = asQ4_1(type, blocks).slice()
      for (let at = 0; at < bytes.length; at += BLOCK_BYTES) change(bytes.subarray(at, at + BLOCK_BYTES))
      return bytes
    }),
    {
      'scale and minimum exchanged': (b) => b.set([b[2], b[3], b[0], b[1]]),
      'no minimum': (b) => b.fill(0, 2, 4),
      'the halves of a byte exchanged': (b) => void (b[4] = ((b[4] & 15) << 4) | (b[4] >> 4)),
    },
  )
})

describe('mutants are killed:', () => {
  /** A decoder that is given changed blocks, or whose numbers are changed, for one type. */
  const changed =
    (
      name: string,
      blocksOf: (blocks: Uint8Array, type: GgufType) => void,
      after?: (out: Float32Array) => void,
    ): Decode =>
    (type, blocks) => {
      const copy = blocks.slice()
      if (type.name === name) blocksOf(copy, type)
      const out = decode(type, copy)
      if (type.name === name) after?.(out)
      return out
    }
  const each =
    (change: (blocks: Uint8Array, at: number) => void) =>
    (blocks: Uint8Array, { bytes }: GgufType): void => {
      for (let at = 0; at < blocks.length; at += bytes) change(blocks, at)
    }
  const swapNibbles = (from: number, count: number): ((blocks: Uint8Array, at: number) => void) => {
    return (b, at) => {
      for (let i = at + from; i < at + from + count; i++) b[i] = ((b[i] & 15) << 4) | (b[i] >> 4)
    }
  }
  killsEach('%s', sameAsGgml, {
    'the halves of Q4_0 exchanged': changed('Q4_0', each(swapNibbles(2, 16))),
    'scale and minimum of Q4_1 exchanged': changed(
      'Q4_1',
      each((b, at) => b.set([b[at + 2], b[at + 3], b[at], b[at + 1]], at)),
    ),
    'the fifth bits of Q5_0 in the order of bytes reversed': changed(
      'Q5_0',
      each((b, at) => b.set(b.slice(at + 2, at + 6).toReversed(), at + 2)),
    ),
    'the fifth bits of Q5_1 left out': changed(
      'Q5_1',
      each((b, at) => b.fill(0, at + 4, at + 8)),
    ),
    'Q8_0 without its sign': changed(
      'Q8_0',
      each((b, at) => b.subarray(at + 2, at + 34).forEach((q, i) => (b[at + 2 + i] = q & 127))),
    ),
    'the upper two bits of the last four scales of Q4_K left out': changed(
      'Q4_K',
      each((b, at) => b.subarray(at + 4, at + 8).forEach((q, i) => (b[at + 4 + i] = q & 63))),
    ),
    'scales and minima of Q4_K exchanged': changed(
      'Q4_K',
      each((b, at) => b.set([...b.slice(at + 8, at + 12), ...b.slice(at + 4, at + 8)], at + 4)),
    ),
    'the fifth bits of Q5_K shifted by one part': changed(
      'Q5_K',
      each((b, at) => b.subarray(at + 16, at + 48).forEach((q, i) => (b[at + 16 + i] = (q << 1) | (q >> 7)))),
    ),
    'one scale for 32 numbers of Q6_K': changed(
      'Q6_K',
      each((b, at) => {
        for (let i = 0; i < 16; i += 2) b[at + 193 + i] = b[at + 192 + i]
      }),
    ),
    'the last product of Q6_K not rounded alone': changed(
      'Q6_K',
      () => {},
      (out) => out.forEach((x, i) => (out[i] = Math.fround(x * (1 + 2 ** -23)))),
    ),
  })
})
