/**
 * The formulas in float64 have the values that are known without a computer.
 */
import { expect, test } from 'vitest'
import {
  attention64,
  capped64,
  dot64,
  dotSize64,
  logSumExp64,
  moments64,
  softmax64,
} from '../../src/verify/float64.ts'

test('a product is a sum of products, its size that of their sizes', () => {
  expect(dot64([1, -2, 3], [4, 5, 6])).toBe(12)
  expect(dotSize64([1, -2, 3], [4, 5, 6])).toBe(32)
  expect([dot64([], []), dotSize64([], [])]).toEqual([0, 0])
})

test('softmax has the odds of its exponents, however large these are', () => {
  expect(logSumExp64([0, 0])).toBeCloseTo(Math.LN2, 15)
  expect(logSumExp64([1000, 1000 + Math.log(3)])).toBeCloseTo(1000 + Math.log(4), 10)
  const [one, three] = softmax64([-1000, -1000 + Math.log(3)])
  expect(one).toBeCloseTo(0.25, 12)
  expect(three).toBeCloseTo(0.75, 12)
})

test('moments are the mean and the variance over all numbers', () => {
  expect(moments64([1, 3, 5, 7])).toEqual({ mean: 4, variance: 5 })
})

test('attention weighs values by the softmax of scaled products with its query', () => {
  const keys = [
    [Math.log(3), 7],
    [0, 7],
  ]
  const values = [
    [4, 0],
    [0, 8],
  ]
  const [first, second] = attention64([2, 0], keys, values, 0.5)
  expect(first).toBeCloseTo(3, 12)
  expect(second).toBeCloseTo(2, 12)
})

test('a cap bounds a score, keeps its sign and leaves a small one alone', () => {
  expect([capped64(1e9, 5), capped64(-1e9, 5)]).toEqual([5, -5])
  expect(capped64(0.001, 50)).toBeCloseTo(0.001, 9)
  expect([capped64(7, 0), capped64(7, -1)]).toEqual([7, 7])
  const [first] = attention64([1e9], [[1], [-1]], [[1], [0]], 1, 2)
  expect(first).toBeCloseTo(1 / (1 + Math.exp(-4)), 12)
})
