/**
 * Law 4: masks. The laws stand in src/verify/masks/selection_laws.ts; here are the values that are known one by one, and
 * the bugs that the laws must find.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { makeBudget, unitsKept } from '../../src/masks/budget.ts'
import { makeMask } from '../../src/masks/mask.ts'
import { referenceTopK, selectMask, type TopK, type UnitScores } from '../../src/masks/selection.ts'
import { choosesAsDefined, selectionLaws } from '../../src/verify/masks/selection_laws.ts'
import { overBackends } from '../harness/backends.ts'
import { mutateKernel } from '../harness/mutate.ts'
import { kills, stateLaw } from '../harness/seed.ts'
import { killMutants, rowsOf, stateMaskLaws, type Select } from './cases.ts'

describe('selectMask', () => {
  stateMaskLaws(selectionLaws)

  overBackends((backend) => {
    stateLaw(choosesAsDefined, backend)
  })

  test('NaN ranks below every number', () => {
    const scores = tiny([0, 0, 0], [NaN, -Infinity, NaN])
    expect(selectMask(scores, makeBudget(2 / 3)).neurons).toEqual(Float32Array.of(1, 1, 1, 0, 1, 0))
  })

  test('the released policy ranks the first layer, prunes floor(p N / 100) and forces it dense afterwards', () => {
    const scores = tiny([-1, -2, 5], [1, 2, 3])
    const budget = makeBudget(0.5, { policy: 'released' })
    expect(selectMask(scores, budget).neurons).toEqual(Float32Array.of(1, 1, 1, 0, 1, 1))
    expect(unitsKept(7, 0.29, 'released')).toBe(7 - 2)
    expect(unitsKept(100, 0.29, 'released')).toBe(71)
  })

  test('an invalid budget is refused by name', () => {
    expect(() => makeBudget(1.5)).toThrow('sparsity: expected a share from 0 to 1, got 1.5')
    expect(() => makeBudget(NaN)).toThrow('got NaN')
    expect(() => makeBudget(0.5, { headFloor: -1 })).toThrow('floor: expected a whole number')
    const scores = tiny([0, 0, 0], [0, 0, 0])
    expect(() => selectMask(scores, makeBudget(0.5, { headFloor: 2 }))).toThrow(
      'head floor: expected at most 1',
    )
    expect(() => selectMask({ ...scores, neurons: new Float32Array(5) }, makeBudget(0.5))).toThrow(
      'neuron scores: expected [2, 3], got 5 numbers',
    )
  })
})

/** Two layers of one head and three neurons. */
function tiny(first: number[], second: number[]): UnitScores {
  const shape = { layers: 2, heads: 1, neurons: 3 }
  return { shape, heads: new Float32Array(2), neurons: Float32Array.from([...first, ...second]) }
}

/** Planted faults, and the law each of them must break. */
const negated: Select = (scores, budget) =>
  selectMask(
    { ...scores, heads: scores.heads.map((s) => -s), neurons: scores.neurons.map((s) => -s) },
    budget,
  )
const lastOnes: TopK = (scores, keep) =>
  referenceTopK(scores.toReversed(), keep)
    .map((unit) => scores.length - 1 - unit)
    .toReversed()
const shifted: Select = (scores, budget) => {
  const mask = selectMask(scores, budget)
  const { heads, neurons } = mask.shape
  const later = (table: Float32Array, units: number): Float32Array =>
    Float32Array.from([...table.subarray(units), ...table.subarray(0, units)])
  return makeMask(mask.shape, later(mask.heads, heads), later(mask.neurons, neurons))
}
const floored: Select = (scores, budget) => {
  const { heads, neurons, layers } = scores.shape
  const exact = (share: number, units: number): number =>
    1 - Math.floor((1 - share) * (layers - 1) * units) / Math.max(1, (layers - 1) * units)
  const headSparsity = exact(budget.headSparsity, heads)
  return selectMask(scores, {
    ...budget,
    headSparsity,
    neuronSparsity: exact(budget.neuronSparsity, neurons),
  })
}
const floorAfterwards: Select = (scores, budget) => {
  const mask = selectMask(scores, { ...budget, headFloor: 0 })
  rowsOf(mask.heads, mask.shape.heads).forEach((row) => row.fill(1, 0, budget.headFloor))
  return mask
}
const perParity: Select = (scores, budget) =>
  unitsKept(scores.neurons.length, budget.neuronSparsity) % 2 === 0
    ? selectMask(scores, budget)
    : negated(scores, budget)

const mutants: [string, Select, keyof typeof selectionLaws][] = [
  ['the lowest stay', negated, 'bestStay'],
  ['ties go to the higher index', (scores, budget) => selectMask(scores, budget, lastOnes), 'bestStay'],
  ['the mask is off by one layer', shifted, 'firstIsDense'],
  ['counts are rounded down', floored, 'globalCount'],
  [
    'the first layer is ranked',
    (scores, budget) => selectMask(scores, { ...budget, policy: 'released' }),
    'firstDecidesNothing',
  ],
  [
    'the global budget is used in each layer',
    (scores, budget) => selectMask(scores, { ...budget, scope: 'global' }),
    'perLayerCount',
  ],
  ['the floor keeps the first head instead of the best', floorAfterwards, 'floorIsBest'],
  ['the order changes with the budget', perParity, 'biggerIsSuperset'],
  [
    'a unit is favoured for its place',
    (scores, budget) => selectMask({ ...scores, neurons: scores.neurons.map((_, n) => -n) }, budget),
    'unitOrder',
  ],
]

describe('mutants of selectMask', () => {
  killMutants(selectionLaws, mutants)

  test('a backend on which ties go to the higher index: killed', async () => {
    const broken = mutateKernel(await createBackend('reference'), 'top_k', () => (indices, scores, _, R) => {
      indices.set(lastOnes(scores as Float32Array, R))
    })
    await kills(choosesAsDefined, broken)
  })
})
