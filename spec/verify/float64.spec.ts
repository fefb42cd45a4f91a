/**
 * The formulas in float64 have the values that are known without a computer.
 */
import { expect, test } from 'vitest'
import { attention64, dot64, dotSize64, logSumExp64, moments64, softmax64 } from '../../src/verify/float64.ts'

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
