/**
 * Laws of selection (design law 4). `bestStay` says of every scope, sparsity and floor which units stay; the others are of
 * dense layers, of separate budgets, and of what budgets have in common.
 *
 * Of two budgets that differ in sparsity only, the bigger keeps a superset, whatever the floors. That does not extend to
 * budgets with other floors, another scope or other dense layers.
 */
import fc from 'fast-check'
import { makeBudget, scopes, type Budget, type Scope } from '../../masks/budget.ts'
import { unitKinds, type UnitKind } from '../../masks/mask.ts'
import type { UnitScores } from '../../masks/selection.ts'
import { atLeast, same, sameBits } from '../compare.ts'
import {
  bothKinds,
  count,
  forAll,
  roundedShare,
  rowsOf,
  sameMask,
  someScope,
  someScores,
  someSparsity,
} from './cases.ts'

/** A floor, small enough that the budgets of small models have room for it. */
export const someFloor: fc.Arbitrary<number> = fc.integer({ min: 0, max: 3 })

/** Floors that fit the scores they are for. */
export function floorsFor(
  { shape }: UnitScores,
  headFloor: number,
  neuronFloor: number,
): { headFloor: number; neuronFloor: number } {
  return { headFloor: Math.min(headFloor, shape.heads), neuronFloor: Math.min(neuronFloor, shape.neurons) }
}

/** Units of a table, best first: the higher score, and of equal scores the lower index. */
function ranking(scores: Float32Array): number[] {
  return [...scores.keys()].toSorted((a, b) => scores[b] - scores[a] || a - b)
}

/**
 * Selection of one kind of unit, said otherwise: the best of all; then every layer below its floor gets its
 * best others back, and each is paid for by the lowest unit of a layer that can spare one.
 * @param ranked scores of the layers that compete [L', U]
 * @param spares whether a layer of which `kept` units stay can give one away
 * @returns zeros and ones [L', U]
 */
export function repaired(
  ranked: Float32Array,
  units: number,
  wanted: number,
  floor: number,
  spares: (kept: number) => boolean = (kept) => kept > floor,
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

/** The floor of a kind of unit. */
function floorOf(kind: UnitKind, floors: ReturnType<typeof floorsFor>): number {
  return kind === 'heads' ? floors.headFloor : floors.neuronFloor
}

export const budgetLaws = {
  bestStay: forAll(
    'in every scope the best units stay, and layers below their floor are raised to it in exchange for the lowest others',
    { scores: someScores, sparsity: someSparsity, heads: someFloor, neurons: someFloor },
    (select, { scores, sparsity, heads, neurons }) => {
      const floors = floorsFor(scores, heads, neurons)
      for (const scope of scopes) {
        const mask = select(scores, makeBudget(sparsity, { scope, ...floors }))
        for (const { kind, values, scores: all, units } of bothKinds(mask, scores)) {
          const competing = scope === 'per-layer' ? units : all.length - units
          for (let start = units; start < all.length; start += competing) {
            const ranked = all.subarray(start, start + competing)
            const wanted = roundedShare(competing, sparsity)
            const kept = values.subarray(start, start + competing)
            sameBits(`${kind}, ${scope}`, kept, repaired(ranked, units, wanted, floorOf(kind, floors)))
          }
        }
      }
    },
  ),

  floorsArePaid: forAll(
    'floors are paid out of the budget: the count is exact, or that of the floors if it is larger',
    {
      scores: someScores,
      sparsity: someSparsity,
      heads: someFloor,
      neurons: someFloor,
      scope: fc.constantFrom<Scope>('global', 'hybrid'),
    },
    (select, { scores, sparsity, heads, neurons, scope }) => {
      const floors = floorsFor(scores, heads, neurons)
      const mask = select(scores, makeBudget(sparsity, { scope, ...floors }))
      for (const { kind, values, units } of bothKinds(mask, scores)) {
        const floor = floorOf(kind, floors)
        const kept = rowsOf(values, units).slice(1).map(count)
        const least = kept.map(() => floor)
        atLeast(`${kind} kept`, kept, least)
        const wanted = roundedShare(kept.length * units, sparsity)
        same(`${kind} kept`, count(values.subarray(units)), Math.max(wanted, kept.length * floor))
      }
    },
  ),

  floorsNest: forAll(
    'for any floors, the larger of two budgets that differ in sparsity keeps a superset',
    {
      scores: someScores,
      one: someSparsity,
      two: someSparsity,
      heads: someFloor,
      neurons: someFloor,
      scope: someScope,
    },
    (select, { scores, one, two, heads, neurons, scope }) => {
      const floors = floorsFor(scores, heads, neurons)
      const wide = select(scores, makeBudget(Math.min(one, two), { scope, ...floors }))
      const narrow = select(scores, makeBudget(Math.max(one, two), { scope, ...floors }))
      for (const kind of unitKinds) atLeast(kind, wide[kind], narrow[kind])
    },
  ),

  denseLayers: forAll(
    'dense layers are all ones, outside the budget, and their scores have no effect',
    {
      scores: someScores,
      sparsity: someSparsity,
      denseLayers: fc.integer({ min: 0, max: 6 }),
      value: fc.float(),
    },
    (select, { scores, sparsity, denseLayers, value }) => {
      const budget: Budget = makeBudget(sparsity, { denseLayers, headFloor: 0 })
      const mask = select(scores, budget)
      const other = { ...scores, heads: scores.heads.slice(), neurons: scores.neurons.slice() }
      other.heads.fill(value, 0, denseLayers * scores.shape.heads)
      other.neurons.fill(value, 0, denseLayers * scores.shape.neurons)
      sameMask(select(other, budget), mask)
      for (const { kind, values, units } of bothKinds(mask, scores)) {
        const dense = Math.min(values.length, denseLayers * units)
        same(`${kind} of dense layers`, count(values.subarray(0, dense)), dense)
        const wanted = roundedShare(values.length - dense, sparsity)
        same(`${kind} kept`, count(values.subarray(dense)), wanted)
      }
    },
  ),

  sharesApart: forAll(
    'heads and neurons have separate budgets, each independent of the other kind',
    { scores: someScores, headSparsity: someSparsity, neuronSparsity: someSparsity, scope: someScope },
    (select, { scores, headSparsity, neuronSparsity, scope }) => {
      const mask = select(scores, makeBudget(0.5, { scope, headSparsity, neuronSparsity }))
      sameBits('heads', mask.heads, select(scores, makeBudget(headSparsity, { scope })).heads)
      sameBits('neurons', mask.neurons, select(scores, makeBudget(neuronSparsity, { scope })).neurons)
    },
  ),
}
