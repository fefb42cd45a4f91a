/**
 * Attention over a cache of int8 is attention over what the cache stands for, within a bound; it looks at the past and at
 * nothing else, and a token over a cache gets the bits of the whole pass.
 */
import { expect, test } from 'vitest'
import { VALUE_BLOCK } from '../../src/ops/attention_i8.ts'
import { kernels } from '../../src/ops/catalog.ts'
import { attentionI8Laws } from '../../src/verify/ops/attention_i8.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(attentionI8Laws)

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
