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
import { sameBits } from '../harness/compare.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

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

const sameAsGgml = lawForAll<Decode, [GgufType, number, number]>(
  'blocks from any place on, and any number of them, give the numbers of ggml bit for bit',
  [fc.constantFrom(...types), fc.nat(39), fc.integer({ min: 1, max: 40 })],
  (judged, type, first, count) => {
    const { blocks, numbers } = goldens.get(type.name) as { blocks: Uint8Array; numbers: Float32Array }
    const end = Math.min(first + count, blocks.length / type.bytes)
    const got = judged(type, blocks.subarray(first * type.bytes, end * type.bytes))
    sameBits(type.name, got, numbers.subarray(first * type.numbers, end * type.numbers))
  },
  { runs: 300, examples: types.map((type): [GgufType, number, number] => [type, 0, 40]) },
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
  test.each<[string, Decode]>([
    ['the halves of Q4_0 exchanged', changed('Q4_0', each(swapNibbles(2, 16)))],
    [
      'scale and minimum of Q4_1 exchanged',
      changed(
        'Q4_1',
        each((b, at) => b.set([b[at + 2], b[at + 3], b[at], b[at + 1]], at)),
      ),
    ],
    [
      'the fifth bits of Q5_0 in the order of bytes reversed',
      changed(
        'Q5_0',
        each((b, at) => b.set(b.slice(at + 2, at + 6).toReversed(), at + 2)),
      ),
    ],
    [
      'the fifth bits of Q5_1 left out',
      changed(
        'Q5_1',
        each((b, at) => b.fill(0, at + 4, at + 8)),
      ),
    ],
    [
      'Q8_0 without its sign',
      changed(
        'Q8_0',
        each((b, at) => b.subarray(at + 2, at + 34).forEach((q, i) => (b[at + 2 + i] = q & 127))),
      ),
    ],
    [
      'the upper two bits of the last four scales of Q4_K left out',
      changed(
        'Q4_K',
        each((b, at) => b.subarray(at + 4, at + 8).forEach((q, i) => (b[at + 4 + i] = q & 63))),
      ),
    ],
    [
      'scales and minima of Q4_K exchanged',
      changed(
        'Q4_K',
        each((b, at) => b.set([...b.slice(at + 8, at + 12), ...b.slice(at + 4, at + 8)], at + 4)),
      ),
    ],
    [
      'the fifth bits of Q5_K shifted by one part',
      changed(
        'Q5_K',
        each((b, at) =>
          b.subarray(at + 16, at + 48).forEach((q, i) => (b[at + 16 + i] = (q << 1) | (q >> 7))),
        ),
      ),
    ],
    [
      'one scale for 32 numbers of Q6_K',
      changed(
        'Q6_K',
        each((b, at) => {
          for (let i = 0; i < 16; i += 2) b[at + 193 + i] = b[at + 192 + i]
        }),
      ),
    ],
    [
      'the last product of Q6_K not rounded alone',
      changed(
        'Q6_K',
        () => {},
        (out) => out.forEach((x, i) => (out[i] = Math.fround(x * (1 + 2 ** -23)))),
      ),
    ],
  ])('%s', (_, mutant) => kills(sameAsGgml, mutant))
})
