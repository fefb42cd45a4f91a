/**
 * Element types. F16 and BF16 have 65,536 patterns each: the laws about them try all.
 *
 * The outside oracle is arithmetic on float64, in which every F16 and BF16 value, and the midpoint of two
 * neighbours, is exact.
 *
 * Tests src/tensor/dtypes.ts and src/tensor/halves.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeFloats,
  decodeIntegers,
  dequantizeRows,
  findNonFinite,
  quantizeRows,
} from '../../src/tensor/dtypes.ts'
import { narrowToBf16, narrowToF16, widenBf16, widenF16 } from '../../src/tensor/halves.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'

const everyPattern = Uint16Array.from({ length: 65_536 }, (_, i) => i)
const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length)

/** The value of a pattern, from its definition: sign, exponent, fraction. NaN for NaN. */
function valueOf(pattern: number, exponentBits: number, fractionBits: number): number {
  const bias = 2 ** (exponentBits - 1) - 1
  const sign = pattern & 0x8000 ? -1 : 1
  const exponent = (pattern >> fractionBits) & (2 ** exponentBits - 1)
  const fraction = (pattern & (2 ** fractionBits - 1)) / 2 ** fractionBits
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias)
  return sign * (1 + fraction) * 2 ** (exponent - bias)
}

const formats = [
  { name: 'F16', exponentBits: 5, fractionBits: 10, widen: widenF16, narrow: narrowToF16 },
  { name: 'BF16', exponentBits: 8, fractionBits: 7, widen: widenBf16, narrow: narrowToBf16 },
]

describe.each(formats)('$name', ({ exponentBits, fractionBits, widen, narrow }) => {
  const infinity = (2 ** exponentBits - 1) << fractionBits
  const value = (pattern: number): number => valueOf(pattern, exponentBits, fractionBits)

  test('every pattern widens to the float32 of the same value', () => {
    const wide = widen(everyPattern)
    for (const pattern of everyPattern) {
      if (!Object.is(wide[pattern], value(pattern))) throw new Error(`${pattern}: ${wide[pattern]}`)
    }
  })

  test('every pattern round-trips, NaN payloads and signalling NaNs included', () => {
    expect(narrow(widen(everyPattern))).toEqual(everyPattern)
  })

  test('between every two neighbours, float32 rounds to the nearest, a tie to the even one', () => {
    const step = 2 ** -149 // moves a float32 by at most one unit
    const inputs: number[] = []
    const expected: number[] = []
    for (let low = 0; low < infinity; low++) {
      // Past the largest finite value the scale goes on as if there were one more.
      const high = low + 1 === infinity ? 2 * value(low) - value(low - 1) : value(low + 1)
      const middle = (value(low) + high) / 2
      if (Math.fround(middle) !== middle) continue // BF16 subnormals: no float32 lies half way below 2^-149
      const below = Math.fround(middle - Math.max(step, middle * 2 ** -24))
      const above = Math.fround(middle + Math.max(step, middle * 2 ** -23))
      inputs.push(middle, below, above)
      expected.push(low % 2 === 0 ? low : low + 1, low, low + 1)
    }
    expect(inputs.length).toBeGreaterThan(60_000)
    const positive = narrow(Float32Array.from(inputs))
    const negative = narrow(Float32Array.from(inputs, (x) => -x))
    expect(positive).toEqual(Uint16Array.from(expected))
    expect(negative).toEqual(Uint16Array.from(expected, (pattern) => pattern | 0x8000))
  })

  test('a float32 NaN stays a NaN whatever its payload', () => {
    const nans = new Float32Array(Uint32Array.of(0x7f800001, 0x7fc00000, 0xff800001, 0xffffffff).buffer)
    for (const pattern of narrow(nans)) expect(value(pattern)).toBeNaN()
  })
})

describe('stored bytes', () => {
  law(
    'floats read the same from any address, aligned or not',
    { values: fc.float32Array({ maxLength: 20 }), offset: fc.nat(9) },
    ({ values, offset }) => {
      const memory = new Uint8Array(offset + values.byteLength)
      memory.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), offset)
      expect(bitsOf(decodeFloats('F32', memory.subarray(offset), 'x'))).toEqual(bitsOf(values))
    },
  )

  law('F64 is rounded once', { values: fc.float64Array({ maxLength: 20 }) }, ({ values }) => {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    expect(decodeFloats('F64', bytes, 'x')).toEqual(Float32Array.from(values, Math.fround))
  })

  const integers = [
    {
      dtype: 'I64',
      store: (x: number) => BigInt64Array.of(BigInt(x)),
      values: [0, -1, 2147483647, -2147483648],
    },
    { dtype: 'I32', store: (x: number) => Int32Array.of(x), values: [0, -1, 2147483647, -2147483648] },
    { dtype: 'I16', store: (x: number) => Int16Array.of(x), values: [0, -1, 32767, -32768] },
    { dtype: 'I8', store: (x: number) => Int8Array.of(x), values: [0, -1, 127, -128] },
    { dtype: 'U8', store: (x: number) => Uint8Array.of(x), values: [0, 255] },
    { dtype: 'BOOL', store: (x: number) => Uint8Array.of(x), values: [0, 1] },
  ] as const
  test.each(integers)('$dtype is read to its ends', ({ dtype, store, values }) => {
    for (const value of values) {
      const bytes = new Uint8Array(store(value).buffer)
      expect([...decodeIntegers(dtype, bytes, 'x')]).toEqual([value])
    }
  })

  test('a value that does not fit, or is of another kind, is refused by name', () => {
    const wide = new Uint8Array(BigInt64Array.of(0n, 2n ** 31n).buffer)
    expect(() => decodeIntegers('I64', wide, 'ids')).toThrow(
      'ids[1]: expected a 32-bit integer, got 2147483648',
    )
    expect(() => decodeIntegers('BOOL', Uint8Array.of(2), 'b')).toThrow('b[0]: expected 0 or 1, got 2')
    expect(() => decodeIntegers('F32', new Uint8Array(4), 'x')).toThrow(
      'x: expected an integer type, got F32',
    )
    expect(() => decodeFloats('I64', new Uint8Array(8), 'x')).toThrow('x: expected a float type, got I64')
  })
})

describe('a value that is not finite', () => {
  const pattern = fc.oneof(
    fc.constantFrom(0x7f800000, 0x7c000000, 0xfc000000, 0x7f7fffff, 0x7bff7bff),
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  )
  const isFirstFound = lawForAll(
    'is NaN and the infinities, and the first of them is found',
    {
      dtype: fc.constantFrom('F32', 'F16', 'BF16'),
      shift: fc.nat(3),
      length: fc.oneof(fc.nat(9), fc.nat(5000)),
      places: fc.array(fc.nat(5000), { minLength: 3, maxLength: 3 }),
      patterns: fc.array(pattern, { minLength: 3, maxLength: 3 }),
    },
    (find: typeof findNonFinite, { dtype, shift, length, places, patterns }): void => {
      const half = dtype !== 'F32'
      const bytes = new Uint8Array((half ? 2 : 4) * (shift + length)) // at any address
      const values = half
        ? new Uint16Array(bytes.buffer, 2 * shift)
        : new Float32Array(bytes.buffer, 4 * shift)
      const stored = half ? (values as Uint16Array) : bitsOf(values as Float32Array)
      places.forEach((place, i) => (stored[place % (length || 1)] = half ? patterns[i] >>> 16 : patterns[i]))
      const numbers = decodeFloats(dtype, new Uint8Array(bytes.buffer, values.byteOffset), 'x')
      expect(find(dtype, values)).toBe(numbers.findIndex((value) => !Number.isFinite(value)))
    },
    { runs: 500 },
  )
  stateLaw(isFirstFound, findNonFinite)

  test.each<[string, typeof findNonFinite]>([
    [
      'takes one half type for the other',
      (dtype, values) => findNonFinite(dtype === 'F16' ? 'BF16' : dtype, values),
    ],
    ['leaves out the last number', (dtype, values) => findNonFinite(dtype, values.subarray(0, -1))],
    [
      'knows only NaN',
      (dtype, values) =>
        values instanceof Float32Array ? values.findIndex(Number.isNaN) : findNonFinite(dtype, values),
    ],
  ])('a mutant that %s is killed', (_, mutant) => kills(isFirstFound, mutant))

  test('every pattern of the half types', () => {
    for (const [dtype, widen] of [
      ['F16', widenF16],
      ['BF16', widenBf16],
    ] as const)
      for (const one of everyPattern) {
        const [value] = widen(Uint16Array.of(one))
        expect(findNonFinite(dtype, Uint16Array.of(0, one, 0)), `${dtype} ${one}`).toBe(
          Number.isFinite(value) ? -1 : 1,
        )
      }
  })
})

describe('int8 rows', () => {
  const finite = fc.float({ noNaN: true, noDefaultInfinity: true })
  const matrix = fc
    .tuple(fc.nat(4), fc.nat(6))
    .chain(([rows, columns]) =>
      fc.tuple(
        fc.constant(rows),
        fc.constant(columns),
        fc.array(finite, { minLength: rows * columns, maxLength: rows * columns }),
      ),
    )

  law(
    'a value has an error of at most half a step, and the largest of a row is ±127',
    { matrix },
    ({ matrix: [rows, columns, list] }) => {
      const x = Float32Array.from(list)
      const quantized = quantizeRows(x, rows, columns)
      const back = dequantizeRows(quantized)
      for (let row = 0; row < rows; row++) {
        const from = row * columns
        const scale = quantized.scales[row]
        const largest = Math.max(0, ...x.subarray(from, from + columns).map(Math.abs))
        if (scale === 0) expect(largest).toBeLessThan(127 * 2 ** -149) // less than the least float32 per step
        // Below 2^-126 the scale itself is rounded coarsely: the bound is for normal scales.
        if (scale < 2 ** -126) continue
        let top = 0
        for (let i = from; i < from + columns; i++) {
          expect(Math.abs(back[i] - x[i])).toBeLessThanOrEqual(scale * 0.5001)
          top = Math.max(top, Math.abs(quantized.values[i]))
        }
        expect(top).toBe(127)
      }
    },
  )

  law(
    'a row is independent of other rows',
    { matrix, row: fc.nat(3) },
    ({ matrix: [rows, columns, list], row }) => {
      fc.pre(row < rows)
      const x = Float32Array.from(list)
      const alone = quantizeRows(x.slice(row * columns, (row + 1) * columns), 1, columns)
      const together = quantizeRows(x, rows, columns)
      expect(together.values.slice(row * columns, (row + 1) * columns)).toEqual(alone.values)
      expect(together.scales[row]).toBe(alone.scales[0])
    },
  )

  test('ties go to the even step', () => {
    const { values } = quantizeRows(Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5), 1, 6)
    expect([...values]).toEqual([127, 0, 2, 2, 0, -2])
  })

  test.each([NaN, Infinity, -Infinity])('%s is refused', (bad) => {
    expect(() => quantizeRows(Float32Array.of(0, 1, bad, 0), 2, 2)).toThrow(
      `row 1: expected finite numbers, got ${bad}`,
    )
  })
})
