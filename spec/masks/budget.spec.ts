/**
 * Budgets: floors, hybrid scope, dense layers, and shares of their own for heads and neurons.
 *
 * Of two budgets that differ in sparsity only, the bigger keeps a superset, whatever the floors. That does not extend to
 * budgets with other floors, another scope or other dense layers, as the example at the end shows.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeBudget, usualNeuronFloor, type Budget, type Scope } from '../../src/masks/budget.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { selectLayer, selectMask, type UnitScores } from '../../src/masks/selection.ts'
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

const someFloor = fc.integer({ min: 0, max: 3 })

/** Floors that fit the scores they are for. */
function floorsFor({ shape }: UnitScores, headFloor: number, neuronFloor: number): Partial<Budget> {
  return {
    headFloor: Math.min(headFloor, shape.heads),
    neuronFloor: Math.min(neuronFloor, shape.neurons),
  }
}

/** Units of a table, best first: the higher score, and of equal scores the lower index. */
function ranking(scores: Float32Array): number[] {
  return [...scores.keys()].toSorted((a, b) => scores[b] - scores[a] || a - b)
}

/**
 * Hybrid selection of one kind of unit as the released code means it: the best of all; then every layer below its floor
 * gets its best others back, and each is paid for by the lowest unit of a layer that can spare one.
 * @param spares whether a layer of which `kept` units stay can give one away
 */
function repaired(
  ranked: Float32Array, // [L', U]
  units: number,
  wanted: number,
  floor: number,
  spares = (kept: number): boolean => kept > floor,
): Float32Array {
  const order = ranking(ranked)
  const chosen = new Set(order.slice(0, wanted))
  const layerOf = (unit: number): number => Math.floor(unit / units)
  const keptIn = (layer: number): number => [...chosen].filter((unit) => layerOf(unit) === layer).length
  let owed = 0
  for (let layer = 0; layer < ranked.length / units; layer++)
    for (const unit of order)
      if (layerOf(unit) === layer && keptIn(layer) < floor && !chosen.has(unit)) {
        chosen.add(unit)
        owed++
      }
  for (const unit of order.toReversed())
    if (owed > 0 && chosen.has(unit) && spares(keptIn(layerOf(unit)))) {
      chosen.delete(unit)
      owed--
    }
  return ranked.map((_, unit) => (chosen.has(unit) ? 1 : 0))
}

const laws: Record<string, MaskLaw<[unknown]>> = {
  'hybrid = the best of all, then layers below their floor brought up to it, paid for by the lowest that can be spared':
    describeLaw({
      arbitraries: [someScores, someSparsity, someFloor, someFloor],
      holds: (select, scores: UnitScores, sparsity: number, heads: number, neurons: number) => {
        const floors = floorsFor(scores, heads, neurons)
        const mask = select(scores, makeBudget(sparsity, { scope: 'hybrid', ...floors }))
        for (const kind of ['heads', 'neurons'] as const) {
          const units = scores.shape[kind]
          const floor = (kind === 'heads' ? floors.headFloor : floors.neuronFloor) as number
          const ranked = scores[kind].subarray(units)
          const wanted = Math.round((1 - sparsity) * ranked.length)
          expect(mask[kind].subarray(units)).toEqual(repaired(ranked, units, wanted, floor))
        }
      },
    }),

  'floors are paid out of the budget: the count is exact, or that of the floors where they are more':
    describeLaw({
      arbitraries: [
        someScores,
        someSparsity,
        someFloor,
        someFloor,
        fc.constantFrom<Scope>('global', 'hybrid'),
      ],
      holds: (select, scores: UnitScores, sparsity: number, heads: number, neurons: number, scope: Scope) => {
        const floors = floorsFor(scores, heads, neurons)
        const mask = select(scores, makeBudget(sparsity, { scope, ...floors }))
        for (const [values, , units] of kinds(mask, scores)) {
          const floor = (values === mask.heads ? floors.headFloor : floors.neuronFloor) as number
          const ranked = rowsOf(values, units).slice(1)
          for (const row of ranked) expect(count(row)).toBeGreaterThanOrEqual(floor)
          const wanted = Math.round((1 - sparsity) * (ranked.length * units))
          expect(count(values.subarray(units))).toBe(Math.max(wanted, ranked.length * floor))
        }
      },
    }),

  'whatever the floors, of two budgets that differ in sparsity the bigger keeps a superset': describeLaw({
    arbitraries: [someScores, someSparsity, someSparsity, someFloor, someFloor, someScope],
    holds: (
      select,
      scores: UnitScores,
      one: number,
      two: number,
      heads: number,
      neurons: number,
      scope: Scope,
    ) => {
      const floors = floorsFor(scores, heads, neurons)
      const wide = select(scores, makeBudget(Math.min(one, two), { scope, ...floors }))
      const narrow = select(scores, makeBudget(Math.max(one, two), { scope, ...floors }))
      for (const kind of ['heads', 'neurons'] as const)
        wide[kind].forEach((value, unit) => expect(value).toBeGreaterThanOrEqual(narrow[kind][unit]))
    },
  }),

  'dense layers are ones and out of the budget, and their scores decide nothing': describeLaw({
    arbitraries: [someScores, someSparsity, fc.integer({ min: 0, max: 6 }), fc.float({ noNaN: true })],
    holds: (select, scores: UnitScores, sparsity: number, denseLayers: number, value: number) => {
      const budget = makeBudget(sparsity, { denseLayers, headFloor: 0 })
      const mask = select(scores, budget)
      const other = { ...scores, heads: scores.heads.slice(), neurons: scores.neurons.slice() }
      other.heads.fill(value, 0, denseLayers * scores.shape.heads)
      other.neurons.fill(value, 0, denseLayers * scores.shape.neurons)
      expect(select(other, budget)).toEqual(mask)
      for (const [values, , units] of kinds(mask, scores)) {
        const dense = Math.min(values.length, denseLayers * units)
        expect(count(values.subarray(0, dense))).toBe(dense)
        expect(count(values.subarray(dense))).toBe(Math.round((1 - sparsity) * (values.length - dense)))
      }
    },
  }),

  'heads and neurons have shares of their own, and neither looks at the other': describeLaw({
    arbitraries: [someScores, someSparsity, someSparsity, someScope],
    holds: (select, scores: UnitScores, headSparsity: number, neuronSparsity: number, scope: Scope) => {
      const mask = select(scores, makeBudget(0.5, { scope, headSparsity, neuronSparsity }))
      expect(mask.heads).toEqual(select(scores, makeBudget(headSparsity, { scope })).heads)
      expect(mask.neurons).toEqual(select(scores, makeBudget(neuronSparsity, { scope })).neurons)
    },
  }),
}

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
    const wanted = Math.round((1 - budget.neuronSparsity) * ranked.length)
    const neurons = mask.neurons.slice()
    neurons.set(choose(ranked, units, wanted, budget.neuronFloor ?? 0), units)
    return makeMask(scores.shape, mask.heads, neurons)
  }

const hybridLaw = Object.keys(laws)[0]
const countLaw = Object.keys(laws)[1]
const supersetLaw = Object.keys(laws)[2]
const denseLaw = Object.keys(laws)[3]
const sharesLaw = Object.keys(laws)[4]

describe('budgets', () => {
  stateMaskLaws(laws)

  law(
    'a layer selected alone = its row in per-layer scope',
    [someScores, someSparsity, someFloor, someFloor],
    (scores, sparsity, heads, neurons) => {
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
    expect([1, 32, 33, 512, 8192, 20480].map(usualNeuronFloor)).toEqual([1, 1, 2, 16, 256, 256])
    const scores = { shape: { layers: 3, heads: 1, neurons: 64 }, heads: new Float32Array(3) }
    const neurons = Float32Array.from({ length: 192 }, (_, n) => n)
    const kept = (scope: Scope): number[] =>
      rowsOf(selectMask({ ...scores, neurons }, makeBudget(0.5, { scope })).neurons, 64).map(count)
    expect(kept('global')).toEqual([64, 0, 64])
    expect(kept('hybrid')).toEqual([64, 2, 62])
  })

  test('budgets with other floors need not nest', () => {
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

  test('what cannot be a budget is refused by name', () => {
    expect(() => makeBudget(0.5, { denseLayers: 1.5 })).toThrow('dense layers: expected a whole number')
    expect(() => makeBudget(0.5, { scope: 'local' as Scope })).toThrow(
      'scope: expected one of global, per-layer, hybrid, got local',
    )
    expect(() => makeBudget(0.5, { headSparsity: 2 })).toThrow('expected a share from 0 to 1, got 2')
    expect(() => makeBudget(0.5, { neuronFloor: -1 })).toThrow('floor: expected a whole number')
  })

  test('the released policy guarantees nothing unless it is hybrid', () => {
    const floors = (scope: Scope): unknown => {
      const { headFloor, neuronFloor } = makeBudget(0.5, { scope, policy: 'released' })
      return [headFloor, neuronFloor]
    }
    expect(floors('global')).toEqual([0, 0])
    expect(floors('hybrid')).toEqual([1, null])
  })
})

describe('mutants of budgets', () =>
  killMutants(laws, [
    [
      'a floor is paid twice',
      handmade((ranked, units, wanted, floor) => repaired(ranked, units, Math.max(0, wanted - floor), floor)),
      countLaw,
    ],
    [
      'a floor is not paid for',
      handmade((ranked, units, wanted, floor) => repaired(ranked, units, wanted, floor, () => false)),
      countLaw,
    ],
    [
      'a layer pays below its own floor',
      handmade((ranked, units, wanted, floor) => repaired(ranked, units, wanted, floor, () => true)),
      hybridLaw,
    ],
    ['hybrid forgets the neurons', withBudget(() => ({ neuronFloor: 0 })), hybridLaw],
    [
      'the floor is the share that goes instead of a share that stays',
      withBudget(({ neuronSparsity }, { shape }) => ({
        neuronFloor: Math.floor(neuronSparsity * shape.neurons),
      })),
      supersetLaw,
    ],
    ['one dense layer whatever was asked for', withBudget(() => ({ denseLayers: 1 })), denseLaw],
    [
      'dense layers are paid for',
      withBudget(({ denseLayers, headSparsity }, { shape }) => ({
        headSparsity: Math.min(1, (headSparsity * shape.layers) / Math.max(1, shape.layers - denseLayers)),
      })),
      denseLaw,
    ],
    [
      'neurons go by the share of the heads',
      withBudget(({ headSparsity }) => ({ neuronSparsity: headSparsity })),
      sharesLaw,
    ],
  ]))
