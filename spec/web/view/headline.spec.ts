/**
 * The three numbers of the page are those of the trace, and none is shown before it is known.
 */
import { describe, expect, test } from 'vitest'
import { denseMask, makeMask } from '../../../src/masks/mask.ts'
import { emptyTrace, type Trace } from '../../../src/web/trace/trace.ts'
import { factsOf } from '../../../src/web/view/headline.ts'

const shape = { layers: 2, heads: 2, neurons: 4 }
const empty = emptyTrace(
  { name: 'any', shape, width: 8 },
  {
    sparsity: 0.5,
    scope: 'global',
    planner: 'shadow',
    criterion: 'plainact',
    decides: 'once',
    temperature: 0,
    seed: 1,
  },
)
const withKl = (...kls: (number | null)[]): Trace => ({
  ...empty,
  columns: kls.map((kl, token) => ({ token, text: '', dense: null, kl })),
})

test('nothing is known of no trace, nor of an empty one', () => {
  for (const trace of [null, empty])
    expect(factsOf(trace, null).map(({ value, words }) => value + words)).toEqual(['…', '…', '…'])
})

test('what is skipped is counted by weights, and told by units', () => {
  // Of each kind a quarter.
  const mask = makeMask(shape, Float32Array.of(1, 1, 0, 1), Float32Array.of(1, 1, 1, 1, 0, 0, 1, 1))
  expect(factsOf(empty, mask)[0]).toEqual({
    value: '25 %',
    name: 'of the layers’ weights skipped',
    words: '25 % of the heads and 25 % of the neurons are never read.',
  })
  expect(factsOf(empty, denseMask(shape))[0].value).toBe('0 %')
})

test('the ratio is that of the two measured speeds, also where skipping is slower', () => {
  const speedOf = (sparse: number | null, dense: number | null): string =>
    factsOf({ ...empty, tokensPerSecond: { sparse, dense } }, null)[1].value
  expect(speedOf(330, 200)).toBe('1.65 ×')
  expect(speedOf(90, 100)).toBe('0.90 ×')
  expect([speedOf(330, null), speedOf(null, 200)]).toEqual(['…', '…'])
})

describe('the KL in words', () => {
  test.each([
    [0, '0.00 nats', 'Its words have the probabilities that the dense model gives them.'],
    [-1e-9, '0.00 nats', 'Its words have the probabilities that the dense model gives them.'],
    [
      0.05,
      '0.05 nats',
      'Almost the same: on average, a word of the dense model keeps 95 % of its probability.',
    ],
    [0.2, '0.20 nats', 'Close: on average, a word of the dense model keeps 82 % of its probability.'],
    [0.4, '0.40 nats', 'Related: on average, a word of the dense model keeps 67 % of its probability.'],
    [2, '2.00 nats', 'Far away: on average, a word of the dense model keeps 14 % of its probability.'],
  ])('%d nats', (kl, value, words) => {
    expect(factsOf(withKl(kl), null)[2]).toEqual({ value, name: 'KL from the dense model', words })
  })

  test('is the mean over the compared tokens', () => {
    expect(factsOf(withKl(0.1, null, 0.3), null)[2].value).toBe('0.20 nats')
    expect(factsOf(withKl(null), null)[2].value).toBe('…')
  })
})
