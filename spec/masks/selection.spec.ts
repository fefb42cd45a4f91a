/**
 * Law 4: masks.
 *
 * A global budget keeps exactly round((1 - s) N) of the ranked units, a per-layer budget keeps that many in each layer,
 * a bigger budget keeps a superset, ties go to the lower index, permuting neurons changes nothing but order, and the
 * first layer is dense. Every law is stated for "an implementation of selectMask", so that the mutants at the end of
 * the page can be held to it too.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { makeBudget, unitsKept, type Budget } from '../../src/masks/budget.ts'
import { makeMask } from '../../src/masks/mask.ts'
import {
  backendTopK,
  referenceTopK,
  selectMask,
  type TopK,
  type UnitScores,
} from '../../src/masks/selection.ts'
import { law } from '../harness/seed.ts'
import {
  count,
  describeLaw,
  killMutants,
  kinds,
  rowsOf,
  someScope,
  someScores,
  someSparsity,
  stateMaskLaws,
  type MaskLaw,
  type Select,
} from './cases.ts'

const noFloor = { headFloor: 0 }

const laws: Record<string, MaskLaw<[unknown]>> = {
  'a global budget keeps exactly round((1 - s) N) of the ranked units': describeLaw({
    arbitraries: [someScores, someSparsity],
    holds: (select, scores: UnitScores, sparsity: number) => {
      const mask = select(scores, makeBudget(sparsity, noFloor))
      for (const [values, , units] of kinds(mask, scores)) {
        const ranked = values.length - units
        expect(count(values.subarray(units))).toBe(Math.round((1 - sparsity) * ranked))
      }
    },
  }),

  'a per-layer budget keeps exactly round((1 - s) N) in each ranked layer': describeLaw({
    arbitraries: [someScores, someSparsity],
    holds: (select, scores: UnitScores, sparsity: number) => {
      const mask = select(scores, makeBudget(sparsity, { ...noFloor, scope: 'per-layer' }))
      for (const [values, , units] of kinds(mask, scores))
        for (const row of rowsOf(values, units).slice(1))
          expect(count(row)).toBe(Math.round((1 - sparsity) * units))
    },
  }),

  'the first layer is dense whatever its scores': describeLaw({
    arbitraries: [someScores, someSparsity, someScope],
    holds: (select, scores: UnitScores, sparsity: number, scope: Budget['scope']) => {
      const mask = select(scores, makeBudget(sparsity, { scope }))
      for (const [values, , units] of kinds(mask, scores))
        expect(values.subarray(0, units)).toEqual(new Float32Array(units).fill(1))
    },
  }),

  'the scores of the first layer decide nothing': describeLaw({
    arbitraries: [someScores, someSparsity, fc.float({ noNaN: true })],
    holds: (select, scores: UnitScores, sparsity: number, value: number) => {
      const budget = makeBudget(sparsity)
      const other = { ...scores, heads: scores.heads.slice(), neurons: scores.neurons.slice() }
      other.heads.fill(value, 0, scores.shape.heads)
      other.neurons.fill(value, 0, scores.shape.neurons)
      expect(select(other, budget)).toEqual(select(scores, budget))
    },
  }),

  'a unit that stays beats one that goes, ties to the lower index': describeLaw({
    arbitraries: [someScores, someSparsity],
    holds: (select, scores: UnitScores, sparsity: number) => {
      const mask = select(scores, makeBudget(sparsity, noFloor))
      for (const [values, ranked, units] of kinds(mask, scores)) {
        const last = lastKept(values, ranked, units)
        for (let unit = units; unit < values.length; unit++)
          if (values[unit] === 0 && last >= 0) expect(beats(ranked, last, unit)).toBe(true)
      }
    },
  }),

  'a bigger budget keeps a superset': describeLaw({
    arbitraries: [someScores, someSparsity, someSparsity, someScope],
    holds: (select, scores: UnitScores, one: number, two: number, scope: Budget['scope']) => {
      const wide = select(scores, makeBudget(Math.min(one, two), { scope }))
      const narrow = select(scores, makeBudget(Math.max(one, two), { scope }))
      for (const kind of ['heads', 'neurons'] as const)
        wide[kind].forEach((value, unit) => expect(value).toBeGreaterThanOrEqual(narrow[kind][unit]))
    },
  }),

  'a floor gives every ranked layer its best units, within the budget where it can': describeLaw({
    arbitraries: [someScores, someSparsity, fc.integer({ min: 1, max: 3 })],
    holds: (select, scores: UnitScores, sparsity: number, floor: number) => {
      const { layers, heads } = scores.shape
      const headFloor = Math.min(floor, heads)
      const mask = select(scores, makeBudget(sparsity, { headFloor }))
      const wanted = unitsKept((layers - 1) * heads, sparsity)
      expect(count(mask.heads.subarray(heads))).toBe(Math.max(wanted, (layers - 1) * headFloor))
      const best = rowsOf(scores.heads, heads).map((row) => referenceTopK(row.slice(), headFloor))
      rowsOf(mask.heads, heads).forEach((row, layer) => {
        for (const head of best[layer]) expect(row[head]).toBe(1)
      })
    },
  }),

  'permuting the units of a layer permutes its mask and nothing else': describeLaw({
    arbitraries: [someScores, someSparsity, fc.infiniteStream(fc.nat())],
    holds: (select, scores: UnitScores, sparsity: number, keys: Iterator<number>) => {
      const { layers, neurons: units } = scores.shape
      const distinct = { ...scores, neurons: scores.neurons.map((_, n) => (n * 7919) % 104729) }
      const layer = layers - 1
      const order = Array.from({ length: units }, (_, n) => n)
        .map((n): [number, number] => [keys.next().value as number, n])
        .toSorted((a, b) => a[0] - b[0])
        .map(([, n]) => n)
      const move = (table: Float32Array): Float32Array => {
        const moved = table.slice()
        order.forEach((from, to) => (moved[layer * units + to] = table[layer * units + from]))
        return moved
      }
      const budget = makeBudget(sparsity)
      const moved = select({ ...distinct, neurons: move(distinct.neurons) }, budget)
      expect(moved.neurons).toEqual(move(select(distinct, budget).neurons))
    },
  }),
}

/** Whether unit a outranks unit b: the higher score, and of equal scores the lower index. */
function beats(scores: Float32Array, a: number, b: number): boolean {
  return scores[a] > scores[b] || (scores[a] === scores[b] && a < b)
}

/** The kept unit that every other kept unit beats; -1 if none is kept. */
function lastKept(mask: Float32Array, scores: Float32Array, units: number): number {
  let last = -1
  for (let unit = units; unit < mask.length; unit++)
    if (mask[unit] === 1 && (last < 0 || beats(scores, last, unit))) last = unit
  return last
}

describe('selectMask', () => {
  stateMaskLaws(laws)

  law(
    'every backend chooses the units the reference chooses',
    [someScores, someSparsity, someScope],
    (scores, sparsity, scope) => {
      const backend = new ReferenceBackend()
      const budget = makeBudget(sparsity, { scope })
      expect(selectMask(scores, budget, backendTopK(backend))).toEqual(selectMask(scores, budget))
      expect(backend.liveBuffers).toBe(0)
    },
  )

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

  test('what cannot be a budget is refused by name', () => {
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

const mutants: [string, Select, string][] = [
  ['the lowest stay', negated, 'a unit that stays beats one that goes, ties to the lower index'],
  [
    'ties go to the higher index',
    (scores, budget) => selectMask(scores, budget, lastOnes),
    'a unit that stays beats one that goes, ties to the lower index',
  ],
  ['the mask is off by one layer', shifted, 'the first layer is dense whatever its scores'],
  ['counts are rounded down', floored, 'a global budget keeps exactly round((1 - s) N) of the ranked units'],
  [
    'the first layer is ranked',
    (scores, budget) => selectMask(scores, { ...budget, policy: 'released' }),
    'the scores of the first layer decide nothing',
  ],
  [
    'the global budget is used in each layer',
    (scores, budget) => selectMask(scores, { ...budget, scope: 'global' }),
    'a per-layer budget keeps exactly round((1 - s) N) in each ranked layer',
  ],
  [
    'the floor keeps the first head instead of the best',
    floorAfterwards,
    'a floor gives every ranked layer its best units, within the budget where it can',
  ],
  ['the order changes with the budget', perParity, 'a bigger budget keeps a superset'],
  [
    'a unit is favoured for its place',
    (scores, budget) => selectMask({ ...scores, neurons: scores.neurons.map((_, n) => -n) }, budget),
    'permuting the units of a layer permutes its mask and nothing else',
  ],
]

describe('mutants of selectMask', () => killMutants(laws, mutants))
