/**
 * Backends that share calls are judged as if each had made its own; old calls make room for new ones.
 */
import { expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { everySmallSize, randomSizes, type SmallCall } from '../../src/verify/ops/agreement.ts'
import { forgetCalls, KnownCalls, LastCalls } from './known_calls.ts'
import { breachOf, mutateKernel } from './mutate.ts'

test('a wrong backend is found on calls that a right one has kept, by the same case and words', async () => {
  const right = new ReferenceBackend()
  const wrong = mutateKernel(right, 'relu', (relu) => (y, x, N) => {
    relu(y, x, N)
    if (N > 40) y[40] = 7
  })
  const known = new KnownCalls()
  const shared = randomSizes('relu', known)
  expect(await breachOf(shared, right, 60)).toBe(null)
  const [found, alone] = [await breachOf(shared, wrong, 60), await breachOf(randomSizes('relu'), wrong, 60)]
  expect(found?.why).toMatch(/^relu\.y\[40\]: expected \S+, got 7 at /)
  expect(found).toEqual(alone)
})

test('the calls of an op are made once for all backends, also where a law ended early; a wrong backend is found on them', async () => {
  const [right, last] = [new ReferenceBackend(), new LastCalls()]
  const wrong = mutateKernel(right, 'relu', (relu) => (y, x, N) => {
    relu(y, x, N)
    if (N > 20) y[20] = 7
  })
  const shared = everySmallSize('relu', last)
  const found = await breachOf(shared, wrong, 1)
  expect(found?.why).toMatch(/^relu\.y\[20\]: expected \S+, got 7 at /)
  expect(await breachOf(shared, right, 1)).toBe(null)
  expect(await breachOf(shared, wrong, 1)).toEqual(found)
  expect(found).toEqual(await breachOf(everySmallSize('relu'), wrong, 1))

  const makes = function* (): Generator<SmallCall, void> {
    for (const size of [1, 2, 3]) yield { values: { N: size }, placing: {}, at: [size, 0] }
  }
  const [first] = last.of('add', makes)
  expect([...last.of('add', makes)].map(({ at }) => at[0])).toEqual([1, 2, 3])
  expect([...last.of('add', makes)][0]).toBe(first)
  forgetCalls()
  expect([...last.of('add', makes)][0]).not.toBe(first)
})

test('calls are kept up to a number of bytes, and forgotten between spec files', () => {
  const known = new KnownCalls()
  const call = {
    values: { x: new Float32Array(2 ** 25) },
    placing: { offset: 0, aliased: false },
    expected: {},
  }
  for (const key of ['a', 'b', 'c']) known.set(key, call)
  expect(['a', 'b', 'c'].map((key) => known.get(key) !== undefined)).toEqual([false, true, true])
  forgetCalls()
  expect(known.get('c')).toBe(undefined)
})
