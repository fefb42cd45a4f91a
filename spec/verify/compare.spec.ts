/**
 * A comparison of numbers accepts what it says is equal, and names the first number that is not.
 */
import { describe, expect, test } from 'vitest'
import { atLeast, near, same, sameBits, sameNumbers } from '../../src/verify/compare.ts'

const { NaN: nan } = Number

describe('equal bits', () => {
  test('are those of equal numbers, NaN included', () => {
    expect(() => sameBits('y', [1, nan, -0], [1, nan, -0])).not.toThrow()
    expect(() => same('y', nan, nan)).not.toThrow()
  })

  test.each([
    ['another number', [1, 2], [1, 3], 'y[1]: expected 3, got 2'],
    ['the other zero', [-0], [0], 'y[0]: expected 0, got -0'],
    ['a zero for minus zero', [0], [-0], 'y[0]: expected -0, got 0'],
    ['NaN for a number', [nan], [1], 'y[0]: expected 1, got NaN'],
    ['a number too few', [1], [1, 2], 'y: expected 2 numbers, got 1'],
  ])('are not those of %s', (_, actual, expected, message) => {
    expect(() => sameBits('y', actual, expected)).toThrow(message)
  })

  test('of one number are compared in the same way', () => {
    expect(() => same('y', -0, 0)).toThrow('y: expected 0, got 0')
  })
})

test('equal numbers may be zeros of either sign, and nothing else that differs', () => {
  expect(() => sameNumbers('y', [0, nan], [-0, nan])).not.toThrow()
  expect(() => sameNumbers('y', [0, nan], [0, 1])).toThrow('y[1]: expected 1, got NaN')
  expect(() => sameNumbers('y', [1, nan], [1, nan, 1])).toThrow('y: expected 3 numbers, got 2')
})

test('near numbers are within the error, one for all or one each; NaN is never near', () => {
  expect(() => near('y', [1, 2], [1.5, 2], 0.5)).not.toThrow()
  expect(() => near('y', [1, 2], [1.5, 2.1], [0.5, 0.05])).toThrow('y[1]: expected 2.1 ± 0.05, got 2')
  expect(() => near('y', [nan], [nan], Infinity)).toThrow('y[0]: expected NaN ± Infinity, got NaN')
})

test('numbers are at least others where none is below', () => {
  expect(() => atLeast('y', [1, 2], [1, 1])).not.toThrow()
  expect(() => atLeast('y', [1, 0], [1, 1])).toThrow('y[1]: expected 1 or more, got 0')
  expect(() => atLeast('y', [nan], [1])).toThrow('y[0]: expected 1 or more, got NaN')
})
