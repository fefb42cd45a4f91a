/**
 * Laws of selection (design law 4): a global budget keeps exactly round((1 - s) N) of the ranked units, a per-layer budget
 * that many in each layer, a bigger budget a superset; ties go to the lower index; permuting neurons changes nothing but
 * order; the first layer is dense.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { Data } from '../../testing/seeded_data.ts'
import { makeBudget, unitsKept } from '../../masks/budget.ts'
import { backendTopK, referenceTopK, selectMask } from '../../masks/selection.ts'
import { atLeast, same, sameBits } from '../compare.ts'
import { lawForAll, type Law } from '../law.ts'
import {
  bothKinds,
  count,
  forAll,
  kinds,
  roundedShare,
  rowsOf,
  sameMask,
  someScope,
  someScores,
  someSparsity,
  type Select,
} from './cases.ts'

const noFloor = { headFloor: 0 }

/** Selection with the ranking of a backend. */
export function selectOn(backend: Backend): Select {
  return (scores, budget) => selectMask(scores, budget, backendTopK(backend))
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

export const selectionLaws = {
  globalCount: forAll(
    'a global budget keeps exactly round((1 - s) N) of the ranked units',
    [someScores, someSparsity],
    (select, scores, sparsity) => {
      const mask = select(scores, makeBudget(sparsity, noFloor))
      for (const { kind, values, units } of bothKinds(mask, scores)) {
        const ranked = values.length - units
        same(`${kind} kept`, count(values.subarray(units)), roundedShare(ranked, sparsity))
      }
    },
  ),

  perLayerCount: forAll(
    'a per-layer budget keeps exactly round((1 - s) N) in each ranked layer',
    [someScores, someSparsity],
    (select, scores, sparsity) => {
      const mask = select(scores, makeBudget(sparsity, { ...noFloor, scope: 'per-layer' }))
      for (const { kind, values, units } of bothKinds(mask, scores))
        for (const row of rowsOf(values, units).slice(1))
          same(`${kind} kept`, count(row), roundedShare(units, sparsity))
    },
  ),

  firstIsDense: forAll(
    'the first layer is dense whatever its scores',
    [someScores, someSparsity, someScope],
    (select, scores, sparsity, scope) => {
      const mask = select(scores, makeBudget(sparsity, { scope }))
      for (const { kind, values, units } of bothKinds(mask, scores))
        sameBits(kind, values.subarray(0, units), new Float32Array(units).fill(1))
    },
  ),

  firstDecidesNothing: forAll(
    'the scores of the first layer have no effect',
    [someScores, someSparsity, fc.float()],
    (select, scores, sparsity, value) => {
      const budget = makeBudget(sparsity)
      const other = { ...scores, heads: scores.heads.slice(), neurons: scores.neurons.slice() }
      other.heads.fill(value, 0, scores.shape.heads)
      other.neurons.fill(value, 0, scores.shape.neurons)
      sameMask(select(other, budget), select(scores, budget))
    },
  ),

  bestStay: forAll(
    'a kept unit scores at least as high as a skipped one, and ties go to the lower index',
    [someScores, someSparsity],
    (select, scores, sparsity) => {
      const mask = select(scores, makeBudget(sparsity, noFloor))
      for (const { kind, values, scores: ranked, units } of bothKinds(mask, scores)) {
        const last = lastKept(values, ranked, units)
        for (let unit = units; unit < values.length; unit++)
          if (values[unit] === 0 && last >= 0 && !beats(ranked, last, unit))
            throw new Error(`${kind}: expected ${unit} to stay rather than ${last}`)
      }
    },
  ),

  biggerIsSuperset: forAll(
    'a bigger budget keeps a superset',
    [someScores, someSparsity, someSparsity, someScope],
    (select, scores, one, two, scope) => {
      const wide = select(scores, makeBudget(Math.min(one, two), { scope }))
      const narrow = select(scores, makeBudget(Math.max(one, two), { scope }))
      for (const kind of kinds) atLeast(kind, wide[kind], narrow[kind])
    },
  ),

  floorIsBest: forAll(
    'a floor keeps the best units of every ranked layer, within the budget if possible',
    [someScores, someSparsity, fc.integer({ min: 1, max: 3 })],
    (select, scores, sparsity, floor) => {
      const { layers, heads } = scores.shape
      const headFloor = Math.min(floor, heads)
      const mask = select(scores, makeBudget(sparsity, { headFloor }))
      const wanted = unitsKept((layers - 1) * heads, sparsity)
      same('heads kept', count(mask.heads.subarray(heads)), Math.max(wanted, (layers - 1) * headFloor))
      const best = rowsOf(scores.heads, heads).map((row) => referenceTopK(row.slice(), headFloor))
      rowsOf(mask.heads, heads).forEach((row, layer) => {
        for (const head of best[layer]) same(`head ${head} of layer ${layer}`, row[head], 1)
      })
    },
  ),

  unitOrder: forAll(
    'permuting the units of a layer permutes its mask and nothing else',
    [someScores, someSparsity, fc.nat()],
    (select, scores, sparsity, seed) => {
      const { layers, neurons: units } = scores.shape
      const distinct = { ...scores, neurons: scores.neurons.map((_, n) => (n * 7919) % 104729) }
      const layer = layers - 1
      const order = new Data(seed).permutation(units)
      const move = (table: Float32Array): Float32Array => {
        const moved = table.slice()
        order.forEach((from, to) => (moved[layer * units + to] = table[layer * units + from]))
        return moved
      }
      const budget = makeBudget(sparsity)
      const moved = select({ ...distinct, neurons: move(distinct.neurons) }, budget)
      sameBits('neurons', moved.neurons, move(select(distinct, budget).neurons))
    },
  ),
}

/** The one law that is about backends and not about selection. */
export const choosesAsDefined: Law<Backend> = lawForAll(
  'every backend chooses the units the reference chooses',
  [someScores, someSparsity, someScope],
  (backend: Backend, scores, sparsity, scope) => {
    const budget = makeBudget(sparsity, { scope })
    sameMask(selectOn(backend)(scores, budget), selectMask(scores, budget))
  },
)
