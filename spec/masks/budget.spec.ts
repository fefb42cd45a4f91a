/**
 * Law 4: budgets and the masks selected within them. The laws stand in src/verify/masks/budget_laws.ts; here are the values that are known one by one, and the bugs
 * that the laws must find.
 *
 * Tests src/verify/masks/budget_laws.ts and src/verify/masks/cases.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeBudget, unitsKept, defaultNeuronFloor, type Budget, type Scope } from '../../src/masks/budget.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import {
  referenceTopK,
  selectLayer,
  selectMask,
  type TopK,
  type UnitScores,
} from '../../src/masks/selection.ts'
import { budgetLaws, floorsFor, repaired, someFloor } from '../../src/verify/masks/budget_laws.ts'
import { killsByLaw, killsEach, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { count, roundedShare, rowsOf, someScores, someSparsity, stateMaskLaws, type Select } from './cases.ts'

/** Budget changed before the real selection. */
const withBudget =
  (change: (budget: Budget, scores: UnitScores) => Partial<Budget>): Select =>
  (scores, budget) =>
    selectMask(scores, { ...budget, ...change(budget, scores) })

/** The real head mask, and neurons chosen by hand for hybrid scope. */
const handmade =
  (choose: (ranked: Float32Array, units: number, wanted: number, floor: number) => Float32Array): Select =>
  (scores, budget): UnitMask => {
    const mask = selectMask(scores, budget)
    const units = scores.shape.neurons
    const ranked = scores.neurons.subarray(units)
    const wanted = roundedShare(ranked.length, budget.neuronSparsity)
    const neurons = mask.neurons.slice()
    neurons.set(choose(ranked, units, wanted, budget.neuronFloor ?? 0), units)
    return makeMask(scores.shape, mask.heads, neurons)
  }

describe('budgets', () => {
  stateMaskLaws(budgetLaws)

  law(
    'a layer selected alone = its row in per-layer scope',
    { scores: someScores, sparsity: someSparsity, heads: someFloor, neurons: someFloor },
    ({ scores, sparsity, heads, neurons }) => {
      const { layers, heads: H, neurons: F } = scores.shape
      const budget = makeBudget(sparsity, { scope: 'per-layer', ...floorsFor(scores, heads, neurons) })
      const mask = selectMask(scores, budget)
      for (let layer = 1; layer < layers; layer++)
        for (const scope of ['global', 'per-layer'] as const) {
          const row = {
            heads: scores.heads.slice(layer * H, (layer + 1) * H),
            neurons: scores.neurons.slice(layer * F, (layer + 1) * F),
          }
          const alone = selectLayer(row, { ...budget, scope })
          expect(alone.heads).toEqual(rowsOf(mask.heads, H)[layer])
          expect(alone.neurons).toEqual(rowsOf(mask.neurons, F)[layer])
        }
    },
  )

  test('hybrid has a floor under the neurons of every layer: a thirty-second, at most 256', () => {
    expect([1, 32, 33, 512, 8192, 20480].map(defaultNeuronFloor)).toEqual([1, 1, 2, 16, 256, 256])
    const scores = { shape: { layers: 3, heads: 1, neurons: 64 }, heads: new Float32Array(3) }
    const neurons = Float32Array.from({ length: 192 }, (_, n) => n)
    const kept = (scope: Scope): number[] =>
      rowsOf(selectMask({ ...scores, neurons }, makeBudget(0.5, { scope })).neurons, 64).map(count)
    expect(kept('global')).toEqual([64, 0, 64])
    expect(kept('hybrid')).toEqual([64, 2, 62])
  })

  test('budgets with different floors need not nest', () => {
    const scores: UnitScores = {
      shape: { layers: 3, heads: 4, neurons: 1 },
      heads: Float32Array.of(0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8),
      neurons: new Float32Array(3),
    }
    const kept = (sparsity: number, headFloor: number): number[] => [
      ...selectMask(scores, makeBudget(sparsity, { headFloor })).heads.subarray(4),
    ]
    expect(kept(0.75, 1)).toEqual([0, 0, 0, 1, 0, 0, 0, 1])
    expect(kept(0.5, 0)).toEqual([0, 0, 0, 0, 1, 1, 1, 1])
  })

  /** a / b rounded down, for whole numbers. */
  const floorOf = (a: number, b: number): number => Number(BigInt(a) / BigInt(b))

  type Kept = typeof unitsKept
  /** The count by integer arithmetic, where `skipped` of `parts` equal parts are skipped. */
  const keepsExactly = (kept: Kept, skipped: number, parts: number, ranked: number): void => {
    const sparsity = Number((skipped / parts).toFixed(4))
    const said = `${ranked} units at ${sparsity}`
    expect(kept(ranked, sparsity), said).toBe(floorOf(2 * (parts - skipped) * ranked + parts, 2 * parts))
    const percent = floorOf(100 * skipped, parts)
    expect(kept(ranked, sparsity, 'paper-compatible'), said).toBe(ranked - floorOf(percent * ranked, 100))
  }
  const someParts = fc.constantFrom(10, 100, 1000, 10_000)
  const someDecimal = someParts.chain((parts) =>
    fc.tuple<[number, number]>(fc.nat(parts), fc.constant(parts)),
  )
  const someCount = fc.nat(400)
  const countIsExact = lawForAll(
    'the count kept is exact for any decimal share: rounded with halves up; for paper-compatible, a whole percentage is skipped and rounded down',
    { someDecimal, ranked: someCount },
    (kept: Kept, { someDecimal: [skipped, parts], ranked }) => keepsExactly(kept, skipped, parts, ranked),
    {
      runs: 2000,
      examples: [
        { someDecimal: [295, 1000], ranked: 1000 },
        { someDecimal: [3, 10], ranked: 45 },
        { someDecimal: [7, 100], ranked: 250 },
        { someDecimal: [29, 100], ranked: 100 },
      ],
    },
  )
  stateLaw(countIsExact, unitsKept)

  test('every whole percent of every count up to 100 is exact', () => {
    for (let percent = 0; percent <= 100; percent++)
      for (let ranked = 0; ranked <= 100; ranked++) keepsExactly(unitsKept, percent, 100, ranked)
  })

  killsEach('%s: killed', countIsExact, {
    'a percentage rounded, not cut': (ranked, sparsity, policy) =>
      unitsKept(ranked, policy === 'paper-compatible' ? Math.round(sparsity * 100) / 100 : sparsity, policy),
    'a paper-compatible count rounded, not cut': (ranked, sparsity, policy) =>
      policy === 'paper-compatible'
        ? ranked - Math.round((Math.floor(sparsity * 100 + 1e-9) * ranked) / 100)
        : unitsKept(ranked, sparsity),
    'halves as floating point has them': (ranked, sparsity, policy) =>
      policy === 'paper-compatible'
        ? unitsKept(ranked, sparsity, policy)
        : Math.round((1 - sparsity) * ranked),
    'one policy for the other': (ranked, sparsity, policy) =>
      unitsKept(ranked, sparsity, policy === 'paper-compatible' ? 'exact' : 'paper-compatible'),
  })

  test('a share outside [0, 1] is refused for heads and neurons; 0 and 1 are accepted', () => {
    for (const share of [-1, -1e-9, 1 + 1e-9, 2, NaN, Infinity, '0.5' as unknown as number])
      for (const make of [
        () => makeBudget(share),
        () => makeBudget(0.5, { headSparsity: share }),
        () => makeBudget(0.5, { neuronSparsity: share }),
      ])
        expect(make).toThrow(expect.objectContaining({ code: 'SPARSITY', exitCode: 2 }))
    for (const share of [0, 1]) expect(makeBudget(share).neuronSparsity).toBe(share)
  })

  test('an invalid budget is refused by name', () => {
    for (const floor of ['headFloor', 'neuronFloor'] as const)
      for (const value of [-1, 0.5]) {
        const make = (): Budget => makeBudget(0.5, { [floor]: value })
        expect(make).toThrow(expect.objectContaining({ code: 'FLOOR' }))
      }
    for (const value of [-1, 0.5])
      expect(() => makeBudget(0.5, { denseLayers: value })).toThrow('dense layers: expected a whole number')
    expect(makeBudget(0.5, { denseLayers: 0, headFloor: 0 })).toMatchObject({ denseLayers: 0, headFloor: 0 })
    expect(() => makeBudget(0.5, { policy: 'cut' as Budget['policy'] })).toThrow(
      'policy: expected one of exact, paper-compatible, got cut',
    )
    expect(() => makeBudget(0.5, { scope: 'local' as Scope })).toThrow(
      'scope: expected one of global, per-layer, hybrid, got local',
    )
  })

  test('the paper-compatible policy guarantees nothing unless it is hybrid', () => {
    const floors = (scope: Scope): unknown => {
      const { headFloor, neuronFloor } = makeBudget(0.5, { scope, policy: 'paper-compatible' })
      return [headFloor, neuronFloor]
    }
    expect(floors('global')).toEqual([0, 0])
    expect(floors('hybrid')).toEqual([1, null])
  })
})

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

describe('mutants of selectMask', () =>
  killsByLaw(budgetLaws, {
    bestStay: {
      'the lowest stay': negated,
      'ties go to the higher index': (scores, budget) => selectMask(scores, budget, lastOnes),
      'the global budget is used in each layer': (scores, budget) =>
        selectMask(scores, { ...budget, scope: 'global' }),
      'the floor keeps the first head instead of the best': floorAfterwards,
      'a unit is favoured for its place': (scores, budget) =>
        selectMask({ ...scores, neurons: scores.neurons.map((_, n) => -n) }, budget),
      'a layer pays below its own floor': handmade((ranked, units, wanted, floor) =>
        repaired(ranked, units, wanted, floor, () => true),
      ),
      'hybrid forgets the neurons': withBudget(() => ({ neuronFloor: 0 })),
    },
    denseLayers: {
      'the mask is off by one layer': shifted,
      'counts are rounded down': floored,
      'the first layer is ranked': (scores, budget) =>
        selectMask(scores, { ...budget, policy: 'paper-compatible' }),
      'one dense layer whatever was asked for': withBudget(() => ({ denseLayers: 1 })),
      'dense layers are paid for': withBudget(({ denseLayers, headSparsity }, { shape }) => ({
        headSparsity: Math.min(1, (headSparsity * shape.layers) / Math.max(1, shape.layers - denseLayers)),
      })),
    },
    floorsNest: {
      'the order changes with the budget': perParity,
      'the floor is the share that goes instead of a share that stays': withBudget(
        ({ neuronSparsity }, { shape }) => ({
          neuronFloor: Math.floor(neuronSparsity * shape.neurons),
        }),
      ),
    },
    floorsArePaid: {
      'a floor is paid twice': handmade((ranked, units, wanted, floor) =>
        repaired(ranked, units, Math.max(0, wanted - floor), floor),
      ),
      'a floor is not paid for': handmade((ranked, units, wanted, floor) =>
        repaired(ranked, units, wanted, floor, () => false),
      ),
    },
    sharesApart: {
      'neurons go by the share of the heads': withBudget(({ headSparsity }) => ({
        neuronSparsity: headSparsity,
      })),
    },
  }))
