/**
 * The bounds of the conformance kit hold for kernels that compute otherwise, and are no wider than they say: another order of
 * additions, fused products and numbers of 16 bits are within them; what a bound is exact about stays exact.
 *
 * Tests scripts/kit/arithmetic.ts, scripts/kit/analyses.ts and scripts/kit/case.ts
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { attend, boundsOfCall, product } from '../../scripts/kit/analyses.ts'
import { Arithmetic, classes, type Near } from '../../scripts/kit/arithmetic.ts'
import { asBf16, tagsOf } from '../../scripts/kit/case.ts'
import { dot } from '../../src/ops/float32.ts'
import { integerDot, quantizeSteps } from '../../src/ops/quantized_steps.ts'
import { quantizeRows } from '../../src/tensor/dtypes.ts'
import { narrowToBf16, widenBf16 } from '../../src/tensor/halves.ts'
import { evaluate } from '../../src/testing/op_agreement.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { law } from '../harness/seed.ts'

const { fround } = Math
const drawn = { seed: fc.nat(), length: fc.integer({ min: 0, max: 90 }) }

/** Two rows of numbers of any size, so that sums cancel. */
function rows(seed: number, length: number): [Float32Array, Float32Array] {
  const data = new Data(seed)
  return [data.floats('a', length, 'steep'), data.floats('b', length, 'steep')]
}

/** How far a dot may be off in a class, its numbers being stored as the class stores them. */
function boundOfDot(name: (typeof classes)[number], a: Float32Array, b: Float32Array): number {
  const arithmetic = new Arithmetic(name)
  const stored = (x: Float32Array): Near[] => Array.from(x, (v) => arithmetic.stored({ v, e: 0 }))
  const near = arithmetic.dot(a.length, stored(a), 0, stored(b), 0)
  return arithmetic.boundsOf([dot(a, 0, b, 0, a.length)], [near])[0]
}

law('a dot in any order of additions is within the bound of any_order', drawn, ({ seed, length }) => {
  const [a, b] = rows(seed, length)
  const order = new Data(seed + 1).permutation(length)
  const sum = order.reduce((total, i) => fround(total + fround(a[i] * b[i])), 0)
  expect(Math.abs(sum - dot(a, 0, b, 0, length))).toBeLessThanOrEqual(boundOfDot('any_order', a, b))
})

law('a dot of unrounded products is within the bound of fused', drawn, ({ seed, length }) => {
  const [a, b] = rows(seed, length)
  const whole = length - (length % 16)
  const lanes = new Float32Array(16)
  for (let i = 0; i < whole; i++) lanes[i % 16] += a[i] * b[i]
  const quad = [0, 1, 2, 3].map((j) =>
    fround(fround(lanes[j] + lanes[j + 4]) + fround(lanes[j + 8] + lanes[j + 12])),
  )
  let total = fround(fround(quad[0] + quad[2]) + fround(quad[1] + quad[3]))
  for (let i = whole; i < length; i++) total = fround(total + a[i] * b[i])
  expect(Math.abs(total - dot(a, 0, b, 0, length))).toBeLessThanOrEqual(boundOfDot('fused', a, b))
})

law('a dot of numbers and products of bf16 is within the bound of bf16', drawn, ({ seed, length }) => {
  const [a, b] = rows(seed, length)
  const narrow = (x: Float32Array): Float32Array => widenBf16(narrowToBf16(x))
  const [p, q] = [narrow(a), narrow(b)]
  const products = narrow(p.map((value, i) => value * q[i]))
  const [sum] = narrow(Float32Array.of(products.reduce((total, value) => fround(total + value), 0)))
  expect(Math.abs(sum - dot(a, 0, b, 0, length))).toBeLessThanOrEqual(boundOfDot('bf16', a, b))
})

law('the bound of a dot is some roundings of its terms, and no more', drawn, ({ seed, length }) => {
  const [a, b] = rows(seed, length)
  const size = a.reduce((total, value, i) => total + Math.abs(value * b[i]), 0)
  expect(boundOfDot('any_order', a, b)).toBeLessThanOrEqual(2 * (length + 3) * 2 ** -24 * size + 1e-40)
  expect(boundOfDot('bf16', a, b)).toBeLessThanOrEqual(6 * 2 ** -8 * size + 1e-30)
})

law('what is skipped is exactly zero in every class', drawn, ({ seed, length }) => {
  const [a] = rows(seed, length)
  for (const name of classes)
    for (const form of ['certain', 'likely'] as const) {
      const arithmetic = new Arithmetic(name, form)
      const off = Array.from(a, (v) => arithmetic.stored({ v, e: Math.abs(v) / 8 }))
      const masked = off.map((near) => arithmetic.mul(near, arithmetic.exactly(0)))
      expect(masked.every(({ v, e }) => v === 0 && e === 0)).toBe(true)
      const [sum] = product(arithmetic, masked, off, null, [1, 1, length])
      expect(Math.abs(sum.v) + sum.e).toBe(0)
    }
})

test('a certain overflow owes infinity, an uncertain one nothing, and NaN owes NaN', () => {
  const arithmetic = new Arithmetic('any_order')
  const bound = (expected: number, near: Near): number => arithmetic.boundsOf([expected], [near])[0]
  expect(bound(Infinity, arithmetic.exp(arithmetic.exactly(200)))).toBe(0)
  expect(bound(1, arithmetic.exp(arithmetic.exactly(0)))).toBeLessThan(1e-6)
  expect(bound(3e38, arithmetic.mul(arithmetic.exactly(3e38), arithmetic.exactly(1.2)))).toBe(Infinity)
  expect(bound(NaN, arithmetic.add(arithmetic.exactly(NaN), arithmetic.exactly(1)))).toBeNaN()
})

test('however far scores are off, attention is a mean of values', () => {
  const arithmetic = new Arithmetic('bf16')
  const known = (...numbers: number[]): Near[] => numbers.map((v) => arithmetic.stored({ v, e: 0 }))
  const sizes = { T: 1, S: 2, C: 2, H: 1, G: 1, K: 1, scale: 1 }
  const [y] = attend(arithmetic, known(1e4), known(1e4, 9999), known(1, 3), sizes)
  expect(y.e).toBeLessThan(5)
})

law(
  'bounds in bf16 are never smaller than they were, and at most a 128th larger',
  { bound: fc.double({ min: 1e-37, max: 1e37, noNaN: true }) },
  ({ bound }) => {
    const [written] = widenBf16(asBf16([bound]))
    expect(written).toBeGreaterThanOrEqual(bound)
    expect(written).toBeLessThanOrEqual(bound * (1 + 2 ** -7))
  },
)

test('tags say what a case holds', () => {
  const tags = (shape: number[], ...numbers: number[]) =>
    tagsOf({
      numbers: { H: 4, G: 2 },
      inputs: new Map([['x', { dtype: 'F32', shape, data: Float32Array.from(numbers) }]]),
      outputs: [],
    })
  expect(tags([1, 2], 1, 0.5)).toEqual({ size: 'small', values: '16_bits', aligned: false, groups: true })
  expect(tags([1, 2], 1, 0.1).values).toBe('plain')
  expect(tags([1, 2], 1, 1e-40).values).toBe('extreme')
  expect(tags([1, 2], 1, NaN).values).toBe('extreme')
  expect(tags([0, 8]).size).toBe('empty')
  expect(tags([1, 129], 1)).toMatchObject({ size: 'past_a_tile', aligned: false })
  expect(tags([1, 128], 1)).toMatchObject({ size: 'tile', aligned: true })
})

law(
  'a product with int8 whose bias is fused is within the bound of fused, and one with another step is not',
  drawn,
  ({ seed, length }) => {
    const O = 3
    const data = new Data(seed)
    const x = data.floats('x', length + 1)
    const bias = data.floats('bias', O)
    const matrix = data.floats('matrix', O * (length + 1))
    const { values: weight, scales } = quantizeRows(matrix, O, length + 1)
    const sizes = { T: 1, O, I: length + 1, R: O }
    const values = { x, weight, scales, bias, rows: null, ...sizes }
    const results = evaluate('linear_i8', values)
    const { y: bounds } = boundsOfCall('linear_i8', values, sizes, results, 'fused') ?? {}
    const q = new Int16Array(x.length)
    const step = quantizeSteps(q, x)
    const kernel = (off: number): number[] =>
      Array.from(bias, (own, o) => {
        const sum = integerDot(q, weight.subarray(o * x.length, (o + 1) * x.length))
        return fround(fround(fround(step * off) * scales[o]) * fround(sum) + own)
      })
    const isWithin = (y: number[]): boolean =>
      y.every((value, o) => Math.abs(value - results.y[o]) <= bounds[o])
    expect(isWithin(kernel(1))).toBe(true)
    const most = Math.max(...results.y.map((value, o) => Math.abs(value - bias[o])))
    expect(most > 0.01 && isWithin(kernel(1.001))).toBe(false)
  },
)

test('operands may be flushed in hardware, and no number may before', () => {
  const tiny = { v: 1e-40, e: 0 }
  expect(new Arithmetic('any_order').stored(tiny).e).toBe(0)
  for (const name of ['hardware', 'bf16', 'f16'] as const) {
    const arithmetic = new Arithmetic(name)
    expect(arithmetic.stored(tiny).e).toBeGreaterThanOrEqual(1e-40)
    expect(arithmetic.mul(arithmetic.stored(tiny), arithmetic.exactly(1e30)).e).toBeGreaterThan(1e-10)
    expect(arithmetic.stored({ v: 0, e: 0 }).e).toBe(0)
  }
  expect(new Arithmetic('hardware').stored({ v: 1, e: 0 }).e).toBe(0)
})
