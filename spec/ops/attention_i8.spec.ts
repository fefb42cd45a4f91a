/**
 * The bound that a fast kernel of attention over a cache of int8 must keep. `laws.spec.ts` states its laws.
 */
import { expect, test } from 'vitest'
import { VALUE_BLOCK } from '../../src/ops/attention_i8.ts'
import { kernels } from '../../src/ops/catalog.ts'

test('a fast kernel may differ by a rounding for each position, each started block and each sum', () => {
  const { fast } = kernels['attention_i8']
  const bounds = [1, VALUE_BLOCK - 1, VALUE_BLOCK, VALUE_BLOCK + 1, 3 * VALUE_BLOCK + 1].map((S) =>
    fast?.bound({ S }),
  )
  expect(bounds).toEqual([
    2 * (1 + 1 + 2),
    2 * (VALUE_BLOCK - 1 + 1 + 2),
    2 * (VALUE_BLOCK + 1 + 2),
    2 * (VALUE_BLOCK + 1 + 1 + 3),
    2 * (3 * VALUE_BLOCK + 1 + 1 + 5),
  ])
})
