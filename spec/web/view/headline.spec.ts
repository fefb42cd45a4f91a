/**
 * The three numbers of the page are those of the trace, and none is shown before it is known.
 */
import { describe, expect, test } from 'vitest'
import { denseMask, makeMask } from '../../../src/masks/mask.ts'
import { keepsHeads } from '../../../src/planners/index.ts'
import { studyPlanners } from '../../../src/web/engine/study_types.ts'
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
    expect(factsOf(trace, null, false).map(({ value, words }) => value + words)).toEqual(['…', '…', '…'])
})

test('what is skipped is counted by weights, and told by units', () => {
  // Of each kind a quarter.
  const mask = makeMask(shape, Float32Array.of(1, 1, 0, 1), Float32Array.of(1, 1, 1, 1, 0, 0, 1, 1))
  expect(factsOf(empty, mask, false)[0]).toEqual({
    value: '25 %',
    name: 'of the layers’ weights skipped',
    words: 'The same share of the heads as of the neurons is never read.',
  })
  const others = makeMask(shape, mask.heads, denseMask(shape).neurons)
  expect(factsOf(empty, others, false)[0].words).toBe(
    '25 % of the heads and 0 % of the neurons are never read.',
  )
  // A planner that ranks neurons only says why it skips less than others.
  const neurons = makeMask(shape, denseMask(shape).heads, mask.neurons)
  const saysWhy = studyPlanners.filter((planner) => {
    const trace = { ...empty, settings: { ...empty.settings, planner } }
    return factsOf(trace, neurons, false)[0].words.endsWith(
      'ranks neurons only and keeps all heads, so at the same sparsity it skips fewer weights.',
    )
  })
  expect(saysWhy).toEqual(studyPlanners.filter((planner) => keepsHeads(planner)))
  expect(factsOf(empty, denseMask(shape), false)[0]).toMatchObject({
    value: '0 %',
    words: 'Every unit is computed.',
  })
})

describe('the speed', () => {
  const half = makeMask(shape, Float32Array.of(1, 1, 0, 0), Float32Array.of(1, 1, 1, 1, 0, 0, 0, 0))
  /** Rounds in which the sparse model takes 1 / ratio times as long as the dense one, which slows down. */
  const factOf = (ratios: readonly number[]) => {
    const dense = ratios.map((_, round) => 3 + round)
    const rounds = { dense, sparse: ratios.map((ratio, round) => dense[round] / ratio) }
    return factsOf({ ...empty, rounds }, half, false)[1]
  }
  const around = (ratio: number): number[] => Array.from({ length: 12 }, (_, i) => ratio + (i - 5.5) / 50)

  test('is the median ratio of the rounds, with its interval and the ratio of the weights that are read', () => {
    expect(factOf(around(1.5))).toEqual({
      value: '1.50 ×',
      name: 'the speed of the dense model',
      words:
        'Both models read this text in turns, 12 times: 1.41 to 1.59. If only reading weights took time, it would be 2.00.',
    })
    expect(factOf(around(0.8)).words).toBe('Both models read this text in turns, 12 times: 0.71 to 0.89.')
  })

  test('is told by the end nearer to 1 where the interval is wider than a factor of two, and not at all around 1', () => {
    const wide = Array.from({ length: 12 }, (_, i) => 1.5 + i)
    const read = 'Both models read this text in turns, 12 times:'
    const tooWide = 'times as fast as the dense model, which is too wide a range'
    const name = 'the speed of the dense model'
    expect(factOf(wide)).toEqual({
      value: 'at least 2.50 ×',
      name,
      words: `${read} 2.50 to 11.50 ${tooWide} for one number: this machine is busy.`,
    })
    expect(factOf(wide.map((ratio) => 1 / ratio))).toEqual({
      value: 'at most 0.40 ×',
      name,
      words: `${read} 0.09 to 0.40 ${tooWide} for one number: this machine is busy.`,
    })
    // Also where it lies above 1 by less than equal computations differ.
    for (const [by, range] of [
      [6, '0.42 to 1.92'],
      [2.45, '1.02 to 4.69'],
    ] as const)
      expect(factOf(wide.map((ratio) => ratio / by))).toEqual({
        value: 'Unknown',
        name: 'speed: this machine is too busy to tell',
        words: `${read} ${range} ${tooWide}.`,
      })
  })

  test('is no number where the rounds do not exclude that there is no difference', () => {
    for (const ratios of [around(1), around(1.05), [...around(1.5).slice(0, 8), 1, 1, 1, 1]])
      expect(factOf(ratios)).toMatchObject({ value: 'Unclear', name: 'whether it is faster' })
    const near = around(1).map((ratio) => 1 + (ratio - 1) / 4)
    expect(factOf(near)).toMatchObject({ value: 'No difference', name: 'in speed from the dense model' })
    // Too few rounds say nothing.
    expect(factOf([2, 2, 2, 2, 2, 2, 2]).value).toBe('…')
  })
})

test('a text that was stopped says so, and is not waited for', () => {
  const stopped = withKl(null, null, null)
  expect(factsOf(stopped, null, true)[1].value).toBe('…')
  // Compared, and not timed: the context had no space for the rounds.
  expect(factsOf(withKl(0.1), null, false)[1].words).toBe(
    'Not measured: stopped before it, the model’s context has no space for enough rounds, or the trace is from a file without them.',
  )
  for (const fact of factsOf(stopped, null, false).slice(1))
    expect(fact).toMatchObject({
      value: '–',
      words: 'Not measured: stopped after 3 tokens, before the comparison.',
    })
})

describe('the KL in words', () => {
  test.each([
    [0, '0.00 nats', 'Its words have the probabilities that the dense model gives them.'],
    [-1e-9, '0.00 nats', 'Its words have the probabilities that the dense model gives them.'],
    [
      0.05,
      '0.05 nats',
      'Almost the same: a word of the dense model typically keeps 95 % of its probability.',
    ],
    [0.2, '0.20 nats', 'Close: a word of the dense model typically keeps 82 % of its probability.'],
    [0.4, '0.40 nats', 'Related: a word of the dense model typically keeps 67 % of its probability.'],
    [2, '2.00 nats', 'Far away: a word of the dense model typically keeps 14 % of its probability.'],
  ])('%d nats', (kl, value, words) => {
    expect(factsOf(withKl(kl), null, false)[2]).toEqual({ value, name: 'KL from the dense model', words })
  })

  test('is the mean over the compared tokens', () => {
    expect(factsOf(withKl(0.1, null, 0.3), null, false)[2].value).toBe('0.20 nats')
    expect(factsOf(withKl(null), null, true)[2].value).toBe('…')
  })

  test('tells the standard error over the compared tokens, and that another text differs', () => {
    // Means 0.2; deviations -0.1, 0.1, 0: the variance is 0.01, and a third of it is that of the mean.
    expect(factsOf(withKl(0.1, null, 0.3, 0.2), null, false)[2].words).toMatch(
      /probability\. ± 0\.06 over the tokens of this text; another differs\.$/,
    )
  })
})
