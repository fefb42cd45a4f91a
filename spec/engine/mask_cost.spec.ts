/**
 * How a mask is carried out: the cheapest way by a count of bytes, whose shape is a law whatever the constants are.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  cheapestStrategy,
  costOfStrategies,
  countRuns,
  type ExecutionStrategy,
  type Work,
} from '../../src/engine/mask_cost.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

const works: fc.Arbitrary<Work> = fc
  .record({
    matrices: fc.integer({ min: 1, max: 4 }),
    rows: fc.integer({ min: 2, max: 5000 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    spread: fc.double({ min: 0, max: 1, noNaN: true }),
    rowBytes: fc.integer({ min: 1, max: 50_000 }),
    T: fc.integer({ min: 1, max: 2048 }),
    steps: fc.nat({ max: 2000 }),
  })
  .map(({ share, spread, ...sizes }) => {
    const chosen = Math.floor(share * (sizes.rows - 1))
    return { ...sizes, chosen, runs: Math.ceil(spread * chosen), fresh: 1 }
  })

type Choose = (work: Work) => ExecutionStrategy

const isCheapest = lawForAll(
  'the way chosen is the cheapest',
  { work: works },
  (choose: Choose, { work }) => {
    const cost = costOfStrategies(work)
    expect(cost[choose(work)]).toBe(Math.min(cost.dense, cost.gather, cost.packed))
  },
)

/** What packing costs is paid once, so the more tokens come, the better it is. */
const paysInTheEnd = lawForAll(
  'the more tokens are expected, the sooner units are packed; for none they are not',
  { work: works },
  (choose: Choose, { work }) => {
    if (choose({ ...work, steps: 0 }) === 'packed') throw new Error('packed for nobody')
    if (choose(work) === 'packed') expect(choose({ ...work, steps: 2 * work.steps })).toBe('packed')
    if (work.runs > 0) expect(choose({ ...work, steps: 1e9 })).toBe('packed')
  },
)

for (const law of [isCheapest, paysInTheEnd]) stateLaw(law, cheapestStrategy)

test('mutants that pack always, or never: killed', async () => {
  for (const mutant of [(): ExecutionStrategy => 'packed', (): ExecutionStrategy => 'gather'])
    for (const law of [isCheapest, paysInTheEnd]) await kills(law, mutant)
})

test('runs of neighbours', () => {
  for (const [list, runs] of [
    [[], 0],
    [[3], 1],
    [[0, 1, 2], 1],
    [[0, 2, 3, 7], 3],
  ] as const)
    expect(countRuns(Int32Array.from(list))).toBe(runs)
})
