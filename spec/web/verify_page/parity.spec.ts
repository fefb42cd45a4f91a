/**
 * What the page finds of a backend: wrong bits are told apart from those of a device that takes subnormal numbers for 0.
 */
import { expect, test } from 'vitest'
import type { Backend } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { mutateKernel } from '../../harness/mutate.ts'
import { compareOp } from './parity.ts'
import { isSubnormal } from './watched_rounding.ts'

/** A backend whose sums are what `change` makes of them. */
async function withSums(change: (sum: number) => number): Promise<Backend> {
  return mutateKernel(await createBackend('wasm'), 'add', (definition) => (y, a, b, N) => {
    definition(y, a, b, N)
    y.forEach((sum, i) => (y[i] = change(sum)))
  })
}

test('a backend with the bits of the definitions differs nowhere', async () => {
  expect(compareOp('add', 7, await withSums((sum) => sum))).toMatchObject({ subnormal: 0, wrong: [] })
})

test('a device that flushes subnormal numbers differs there and nowhere else', async () => {
  const { equal, subnormal, wrong } = compareOp(
    'add',
    7,
    await withSums((sum) => (isSubnormal(sum) ? 0 : sum)),
  )
  expect([equal > 0, subnormal > 0, wrong]).toEqual([true, true, []])
})

test('a last bit that is wrong is found, where no number is subnormal', async () => {
  const broken = compareOp('add', 7, await withSums((sum) => Math.fround(sum * (1 + 2 ** -23))))
  expect(broken.wrong[0]).toMatch(/^y\[\d+\] at \{"N":\d+\}$/)
})
