/**
 * Numbers of GGUF files are rounded by ggml's rules, and entries come back.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { bytesAsFile } from '../../src/io/files.ts'
import { readGgufHeader } from '../../src/io/gguf.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { encode, ggufFile, type WrittenValue } from '../../src/io/gguf_writer.ts'
import { narrowToF16, widenF16 } from '../../src/tensor/halves.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { bytesOf, numbersIn } from './gguf_numbers.ts'

type Encode = typeof encode
type Symmetric = 'Q8_0' | 'Q4_0'

const half = (value: number): number => widenF16(narrowToF16(Float32Array.of(value)))[0]

/** d of a block, from its numbers. */
const scaleOf: Readonly<Record<Symmetric, (block: Float32Array) => number>> = {
  Q8_0: (block) => Math.max(...block.map(Math.abs)) / 127,
  Q4_0: (block) => block.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0) / -8,
}

/** Integers of a block at the ends of their range. */
const range = { Q8_0: [-127, 127], Q4_0: [-8, 7], Q4_1: [0, 15] } as const

const symmetric = fc.constantFrom<Symmetric>('Q8_0', 'Q4_0')
const block = fc.float32Array({ minLength: 32, maxLength: 32, min: -8, max: 8, noNaN: true })

const nearEnough = lawForAll(
  'a block gives every number within half a step, but for the end of the range that is out of reach',
  { format: symmetric, x: block },
  (judged: Encode, { format, x }) => {
    const step = scaleOf[format](x)
    const stored = half(Math.fround(step))
    const [least, most] = range[format]
    const got = numbersIn(format, judged(format, x))
    for (const [i, value] of x.entries()) {
      const q = got[i] === 0 ? 0 : got[i] / stored
      expect(q).toBe(Math.round(q))
      // A step too small for half precision is 0, and so is every number.
      if (stored === 0) expect(Math.abs(got[i])).toBe(0)
      else if (q < most) expect(Math.abs(q - value / step)).toBeLessThanOrEqual(0.5 + 1e-4)
      else expect(value / step).toBeGreaterThanOrEqual(most - 0.5 - 1e-4)
      expect(q).toBeGreaterThanOrEqual(least)
    }
  },
)
stateLaw(nearEnough, encode)

const withMinimum = lawForAll(
  'a block with a minimum gives every number within half a step, and what half precision rounds of step and minimum',
  { x: block },
  (judged: Encode, { x }) => {
    const [least, most] = [Math.min(...x), Math.max(...x)]
    const step = (most - least) / 15
    const rounded = 2 ** -11 * (Math.abs(least) + 15 * step) + 2 ** -20
    const got = numbersIn('Q4_1', judged('Q4_1', x))
    for (const [i, value] of x.entries())
      expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(step / 2 + rounded)
  },
)
stateLaw(withMinimum, encode)

const comesBack = lawForAll(
  'the numbers of a block are written as this block again, if its integers reach both ends of the range',
  {
    format: fc.constantFrom('Q8_0', 'Q4_0', 'Q4_1'),
    scale: fc.integer({ min: 1, max: 1000 }),
    minimum: fc.integer({ min: -1000, max: 1000 }),
    drawn: fc.array(fc.nat(), { minLength: 30, maxLength: 30 }),
  },
  (judged: Encode, { format, scale, minimum, drawn }) => {
    const [least, most] = range[format]
    const d = scale / 1024
    const m = format === 'Q4_1' ? minimum / 1024 : 0
    const q = [...drawn.map((value) => least + (value % (most - least + 1))), least, most]
    const x = Float32Array.from(q, (value) => value * d + m)
    sameBits(format, numbersIn(format, judged(format, x)), x)
  },
)
stateLaw(comesBack, encode)

test('halves are rounded away from zero in 8 bits, and up in 4', () => {
  const x = new Float32Array(32)
  x.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
  expect([...numbersIn('Q8_0', encode('Q8_0', x)).subarray(0, 7)]).toEqual([127, 1, 2, 3, -1, -2, -3])
  x.set([-8, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
  expect([...numbersIn('Q4_0', encode('Q4_0', x)).subarray(0, 7)]).toEqual([-8, 1, 2, 3, 0, -1, -2])
  x.set([-7, 8, 0.5, 1.5, -0.5, -1.5, -2.5])
  expect([...numbersIn('Q4_1', encode('Q4_1', x)).subarray(0, 7)]).toEqual([-7, 8, 1, 2, 0, -1, -2])
})

describe("ggml's own blocks are written again to the byte", () => {
  const golden = fileURLToPath(new URL('../../fixtures/golden-llama/gguf/blocks', import.meta.url))

  const scaleIn = (format: keyof typeof range, numbers: Float32Array): number =>
    format === 'Q4_1'
      ? Math.fround(Math.fround(Math.max(...numbers) - Math.min(...numbers)) / 15)
      : scaleOf[format](numbers)

  test.each(['Q8_0', 'Q4_0', 'Q4_1'] as const)('%s', (format) => {
    const bytes = { Q8_0: 34, Q4_0: 18, Q4_1: 20 }[format]
    const blocks = new Uint8Array(readFileSync(join(golden, `${format}.bin`)))
    let judged = 0
    for (let at = 0; at < blocks.length; at += bytes) {
      const one = blocks.slice(at, at + bytes)
      const numbers = numbersIn(format, one)
      const d = scaleIn(format, numbers)
      // Others have a scale that does not follow from the numbers.
      if (d !== widenF16(new Uint16Array(one.buffer, 0, 1))[0] || d === 0) continue
      expect(encode(format, numbers)).toEqual(one)
      judged++
    }
    expect(judged).toBeGreaterThan(0)
  })
})

/** Changes the numbers before they are written, or the bytes after. */
const withNumbers =
  (change: (x: number) => number): Encode =>
  (format, x) =>
    encode(format, x.map(change))
const withBytes =
  (change: (bytes: Uint8Array<ArrayBuffer>, format: Format) => void): Encode =>
  (format, x) => {
    const bytes = encode(format, x)
    change(bytes, format)
    return bytes
  }

test.each(
  Object.entries<Encode>({
    'numbers without their sign': withNumbers(Math.abs),
    'numbers one step off': withBytes((bytes) => (bytes[5] += 1)),
    'a scale one step off': withBytes((bytes) => (bytes[0] ^= 1)),
    'the halves of a block changed': (format, x) =>
      encode(format, Float32Array.from([...x.slice(16), ...x.slice(0, 16)])),
    'high and low bits changed': withBytes((bytes, format) => {
      const first = { F32: 0, F16: 0, Q8_0: bytes.length, Q4_0: 2, Q4_1: 4 }[format]
      for (let i = first; i < bytes.length; i++) bytes[i] = (bytes[i] >> 4) | ((bytes[i] & 15) << 4)
    }),
  }),
)('a rounding with %s is killed', async (_, mutant) => {
  await kills(comesBack, mutant)
  await kills(nearEnough, mutant)
})

test('a rounding without the minimum is killed', async () => {
  const mutant = withBytes((bytes, format) => {
    if (format === 'Q4_1') bytes.fill(0, 2, 4)
  })
  await kills(comesBack, mutant)
  await kills(withMinimum, mutant)
})

test('entries of every type come back, and as bytes of another file', async () => {
  const entries = new Map<string, WrittenValue>([
    ['general.name', 'Größe'],
    ['tokenizer.flag', true],
    ['tokenizer.whole', { u32: 4_000_000_000 }],
    ['other', { f32: 0.1 }],
    ['tokenizer.texts', ['a', '', '▁b']],
    ['tokenizer.types', Int32Array.of(-1, 7)],
    ['tokenizer.scores', Float32Array.of(0.5, -2)],
  ])
  const expected = [...entries].map(([key, value]) => {
    if (key === 'tokenizer.whole') return [key, 4_000_000_000]
    return [key, key === 'other' ? Math.fround(0.1) : value]
  })
  const file = await bytesOf(ggufFile(entries, []))
  const { entries: found, places } = await readGgufHeader(bytesAsFile(file), 'file')
  expect([...found]).toEqual(expected)
  const copied = new Map([...places].map(([key, place]) => [key, file.slice(...place)]))
  expect(await bytesOf(ggufFile(copied, []))).toEqual(file)
})
