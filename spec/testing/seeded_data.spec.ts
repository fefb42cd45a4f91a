/**
 * Equal seeds give equal data, and each kind of data holds the numbers that it promises.
 */
import { expect, test } from 'vitest'
import { Data, type DataKind } from '../../src/testing/seeded_data.ts'

const LENGTH = 4000
const kinds: readonly DataKind[] = [
  'smooth',
  'plain',
  'steep',
  'ties',
  'wild',
  'broken',
  'sparse',
  'equal',
  'edges',
  'special',
]
const ofKind = (kind: DataKind): number[] => [...new Data(7).floats('x', LENGTH, kind)]

test.each(kinds)('%s data are the same for the same seed and others for another', (kind) => {
  expect(ofKind(kind)).toEqual(ofKind(kind))
  expect([...new Data(8).floats('x', LENGTH, kind)]).not.toEqual(ofKind(kind))
})

test('smooth, plain and steep data keep their ranges and reach the ends of them', () => {
  const sizes = (kind: DataKind): [number, number] => {
    const all = ofKind(kind).map(Math.abs)
    return [Math.min(...all), Math.max(...all)]
  }
  expect(sizes('smooth')).toEqual([0.25, 1.75])
  expect(ofKind('smooth').every((x) => Number.isInteger(x * 1024))).toBe(true)
  expect(sizes('plain')[1]).toBeLessThanOrEqual(2)
  expect(sizes('plain')[1]).toBeGreaterThan(1.9)
  const [least, most] = sizes('steep')
  expect(least).toBeGreaterThanOrEqual(2 ** -10)
  expect(least).toBeLessThan(2 ** -9)
  expect(most).toBeLessThanOrEqual(2 ** 7)
  expect(most).toBeGreaterThan(2 ** 6)
})

test('ties hold a handful of values and both zeros, equal data one', () => {
  expect(new Set(ofKind('ties')).size).toBeLessThan(10)
  for (const zero of [0, -0]) expect(ofKind('ties').some((x) => Object.is(x, zero))).toBe(true)
  expect(new Set(ofKind('equal')).size).toBe(1)
})

test('wild data are finite with subnormal and huge numbers; broken and special ones have infinities and NaN', () => {
  const wild = ofKind('wild')
  expect(wild.every(Number.isFinite)).toBe(true)
  expect(wild.some((x) => x !== 0 && Math.abs(x) < 2 ** -126)).toBe(true)
  expect(wild.some((x) => Math.abs(x) > 1e29)).toBe(true)
  for (const kind of ['broken', 'special'] as const)
    for (const odd of [Infinity, -Infinity, NaN])
      expect(ofKind(kind).some((x) => Object.is(x, odd))).toBe(true)
})

test('the first third of sparse data is zero, as is half of the rest', () => {
  const sparse = ofKind('sparse')
  const third = Math.ceil(LENGTH / 3)
  expect(sparse.slice(0, third).every((x) => x === 0)).toBe(true)
  const zeros = sparse.slice(third).filter((x) => x === 0).length / (LENGTH - third)
  expect(zeros).toBeGreaterThan(0.4)
  expect(zeros).toBeLessThan(0.6)
})

test('half precision and scales among bytes are finite in every kind', () => {
  for (const kind of kinds) {
    for (const [dtype, infinite] of [['bf16', 0x7f80] as const, ['f16', 0x7c00] as const])
      expect(Math.max(...new Data(7).halves('x', dtype, LENGTH, kind).map((x) => x & 0x7fff))).toBeLessThan(
        infinite,
      )
    const words = new Data(7).blocks('blocks', 200, kind)
    for (let b = 0; b < 200; b++)
      for (const half of [words[5 * b] & 0xffff, words[5 * b] >>> 16])
        expect(half & 0x7fff).toBeLessThan(0x7c00)
    const rows = new Uint16Array(new Data(7).bytes('rows', [200, 80], 4, kind).buffer)
    for (let at = 0; at < rows.length; at += 40)
      for (const half of rows.subarray(at, at + 8)) expect(half & 0x7fff).toBeLessThan(0x7c00)
  }
})

test('lists ascend without a value twice, and ids and integers stay within their limits', () => {
  const data = new Data(7)
  for (let limit = 0; limit < 20; limit++) {
    const list = [...data.someOf('list', limit)]
    expect(list).toEqual([...new Set(list)].toSorted((a, b) => a - b))
    expect(list.every((x) => x >= 0 && x < limit)).toBe(true)
    expect(data.ascending('list', limit, limit)).toEqual(Int32Array.from({ length: limit }, (_, i) => i))
  }
  expect(new Set(data.ids('ids', LENGTH, 3))).toEqual(new Set([0, 1, 2]))
  expect(new Set(Array.from({ length: LENGTH }, () => data.integer(-1, 1)))).toEqual(new Set([-1, 0, 1]))
})
