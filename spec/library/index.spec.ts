/**
 * The functions of the library about masks, budgets and scores, tried as JavaScript may try them: whatever they are
 * given, they answer or refuse by a typed error in one line.
 *
 * Tests src/masks/mask.ts and src/planners/ranking.ts.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import * as library from '../../src/library/index.ts'
import {
  allowWide,
  achievedSparsity,
  denseMask,
  makeBudget,
  makeMask,
  givenMask,
  maskOverlap,
  randomPlanner,
  selectMask,
  setOverlap,
  staticPlanner,
  type Budget,
  type UnitMask,
  type UnitShape,
} from '../../src/library/index.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { outcome } from './held.ts'

const shape: UnitShape = { layers: 2, heads: 3, neurons: 4 }
const table = (length: number): Float32Array => new Float32Array(length).fill(1)
const mask = makeMask(shape, table(6), table(8))
const budget = makeBudget(0.5)
const scores = { shape, heads: table(6), neurons: table(8) }

// A case may allow it.
afterAll(() => allowWide(false))

describe('masks, budgets and scores', () => {
  test.each<[string, string, () => unknown]>([
    ['makeMask', 'MASK_SHAPE', () => makeMask(null as never, table(6), table(8))],
    ['makeMask', 'MASK_SHAPE', () => makeMask({ ...shape, layers: 0.5 }, table(1), table(1))],
    ['makeMask', 'MASK_SHAPE', () => makeMask({ ...shape, heads: -3 }, table(6), table(8))],
    ['makeMask', 'MASK_SHAPE', () => makeMask({ ...shape, heads: '3' } as never, table(6), table(8))],
    ['makeMask', 'MASK_SHAPE', () => makeMask(shape, table(5), table(8))],
    ['makeMask', 'MASK_SHAPE', () => makeMask(shape, table(6), [1] as never)],
    ['makeMask', 'MASK_SHAPE', () => makeMask(shape, table(6), null as never)],
    ['denseMask', 'MASK_SHAPE', () => denseMask(undefined as never)],
    ['denseMask', 'MASK_SHAPE', () => denseMask({ ...shape, neurons: NaN })],
    ['achievedSparsity', 'MASK_SHAPE', () => achievedSparsity({ ...mask, heads: table(1) }, { width: 12 })],
    ['achievedSparsity', 'MASK_SHAPE', () => achievedSparsity(null as never, { width: 12 })],
    ['achievedSparsity', 'WIDTH', () => achievedSparsity(mask, { width: 0 })],
    ['achievedSparsity', 'WIDTH', () => achievedSparsity(mask, undefined as never)],
    ['makeBudget', 'SPARSITY', () => makeBudget('0.5' as never)],
    ['makeBudget', 'SPARSITY', () => makeBudget(NaN)],
    ['makeBudget', 'SPARSITY', () => makeBudget(0.5, { headSparsity: -0.1 })],
    ['makeBudget', 'OPTIONS', () => makeBudget(0.5, null as never)],
    ['makeBudget', 'OPTION_NAME', () => makeBudget(0.5, { headFlour: 1 } as never)],
    ['makeBudget', 'SCOPE', () => makeBudget(0.5, { scope: 'local' as never })],
    ['makeBudget', 'POLICY', () => makeBudget(0.5, { policy: 'relased' as never })],
    ['makeBudget', 'FLOOR', () => makeBudget(0.5, { headFloor: 0.5 })],
    ['makeBudget', 'FLOOR', () => makeBudget(0.5, { neuronFloor: '1' as never })],
    ['makeBudget', 'DENSE_LAYERS', () => makeBudget(0.5, { denseLayers: -1 })],
    ['selectMask', 'SCORE_SHAPE', () => selectMask(null as never, budget)],
    ['selectMask', 'SCORE_SHAPE', () => selectMask({ ...scores, heads: table(7) }, budget)],
    ['selectMask', 'SCORE_SHAPE', () => selectMask({ ...scores, neurons: [1] as never }, budget)],
    ['selectMask', 'MASK_SHAPE', () => selectMask({ ...scores, shape: {} as never }, budget)],
    ['selectMask', 'SPARSITY', () => selectMask(scores, null as never)],
    ['selectMask', 'SPARSITY', () => selectMask(scores, { ...budget, headSparsity: 2 })],
    ['selectMask', 'FLOOR', () => selectMask(scores, { ...budget, headFloor: 4 })],
    ['setOverlap', 'MASK_SHAPE', () => setOverlap(table(3), table(4))],
    ['setOverlap', 'MASK_SHAPE', () => setOverlap([1] as never, table(1))],
    ['setOverlap', 'MASK_SHAPE', () => setOverlap(table(1), undefined as never)],
    ['givenMask', 'MASK_SHAPE', () => givenMask({} as never, null)],
    ['givenMask', 'PLANNER', () => givenMask(mask, undefined as never)],
    ['givenMask', 'PLANNER', () => givenMask(mask, 'griffin' as never)],
    ['maskOverlap', 'MASK_SHAPE', () => maskOverlap(mask, {} as never)],
    ['maskOverlap', 'MASK_SHAPE', () => maskOverlap(mask, denseMask({ layers: 3, heads: 2, neurons: 4 }))],
    ['maskOverlap', 'DENSE_LAYERS', () => maskOverlap(mask, mask, -1)],
    ['randomPlanner', 'MASK_SHAPE', () => randomPlanner({} as never, budget, 0)],
    ['randomPlanner', 'POLICY', () => randomPlanner(shape, {} as Budget, 0)],
    ['randomPlanner', 'SPARSITY', () => randomPlanner(shape, { ...budget, neuronSparsity: NaN }, 0)],
    ['randomPlanner', 'SEED', () => randomPlanner(shape, budget, undefined as never)],
    ['randomPlanner', 'SEED', () => randomPlanner(shape, budget, -1)],
    ['staticPlanner', 'SCORE_SHAPE', () => staticPlanner(null as never, budget)],
    ['allowWide', 'OPTION_TYPE', () => allowWide('on' as never)],
  ])('%s is refused as %s', async (_, code, work) => {
    expect(await outcome(work)).toBe(code)
  })

  type Work = (...args: unknown[]) => unknown
  const functions = Object.entries(library)
    .filter(([name, value]) => typeof value === 'function' && !/^[A-Z]/.test(name))
    .map(([name, value]) => [name, value as unknown as Work] as const)
  const plausible = fc.constantFrom<unknown>(
    mask,
    shape,
    budget,
    scores,
    table(6),
    table(8),
    0.5,
    1,
    {},
    undefined,
  )
  const someArguments = fc.array(fc.oneof(plausible, fc.anything()), { maxLength: 4 })

  /** It answers, or refuses; it never trips over what it was given. */
  const neverTrips = lawForAll(
    'gives a result or a typed error for any argument',
    { args: someArguments },
    async (work: Work, { args }) => {
      await outcome(() => work(...args))
    },
    { runs: 300 },
  )

  test('every exported function is tried', () => {
    expect(functions.map(([name]) => name).toSorted()).toEqual([
      'achievedSparsity',
      'allowWide',
      'collectText',
      'denseMask',
      'givenMask',
      'makeBudget',
      'makeMask',
      'maskOverlap',
      'randomPlanner',
      'rankingOf',
      'selectMask',
      'setOverlap',
      'staticPlanner',
    ])
  })

  for (const [name, work] of functions)
    stateLaw({ ...neverTrips, sentence: `${name} gives a result or a typed error for any argument` }, work)

  test('one with another error is found', async () => {
    const careless = (chosen: unknown): unknown => (chosen as UnitMask).heads.subarray(1)
    await kills(neverTrips, careless)
  })
})
