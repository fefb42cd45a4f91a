/**
 * Scores and budgets to draw from, and what the laws of masks judge: an implementation of `selectMask`.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { scopes, type Budget, type Scope } from '../../masks/budget.ts'
import { unitKinds, type UnitKind, type UnitMask } from '../../masks/mask.ts'
import { backendTopK, selectMask, type UnitScores } from '../../masks/selection.ts'
import { sameBits } from '../compare.ts'
import { lawForAll, type Law, type LawForAll } from '../law.ts'

/** Makes a mask of scores within a budget. */
export type Select = (scores: UnitScores, budget: Budget) => UnitMask

/** A law of every implementation of `selectMask`. */
export type MaskLaw = Law<Select>

/** A law of implementations of `selectMask`. */
export const forAll: LawForAll<Select> = lawForAll

/** Selection with the ranking of a backend. */
export function selectOn(backend: Backend): Select {
  return (scores, budget) => selectMask(scores, budget, backendTopK(backend))
}

/** Scores of a few layers; a small range of whole numbers makes ties frequent. */
export const someScores: fc.Arbitrary<UnitScores> = fc
  .record({
    layers: fc.integer({ min: 1, max: 5 }),
    heads: fc.integer({ min: 1, max: 9 }),
    neurons: fc.integer({ min: 1, max: 37 }),
  })
  .chain((shape) => {
    const score = fc.oneof(
      { withCrossShrink: true },
      fc.integer({ min: -2, max: 2 }),
      fc.float({ noNaN: true }),
    )
    const table = (length: number): fc.Arbitrary<Float32Array> =>
      fc
        .array(score, { minLength: length, maxLength: length, size: 'max' })
        .map((values) => Float32Array.from(values))
    return fc.record({
      shape: fc.constant(shape),
      heads: table(shape.layers * shape.heads), // [L, H]
      neurons: table(shape.layers * shape.neurons), // [L, F]
    })
  })

/** Shares of units to skip, those people ask for among them. */
export const someSparsity: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 0.3, 0.5, 0.7, 0.9, 0.95, 1),
  fc.double({ min: 0, max: 1, noNaN: true }),
)

/** Any scope. */
export const someScope: fc.Arbitrary<Scope> = fc.constantFrom<Scope>(...scopes)

/** round((1 - s) N), halves up, for s as a decimal: at 30 % of 45 units 31.5 stay, rounded to 32. */
export function roundedShare(ranked: number, sparsity: number): number {
  return Math.round(Number(((1 - sparsity) * ranked).toFixed(6)))
}

/** How many units a table of zeros and ones keeps. */
export function count(mask: Float32Array): number {
  return mask.reduce((total, value) => total + value, 0)
}

/** The rows of a table [L, U], as views. */
export function rowsOf(table: Float32Array, units: number): Float32Array[] {
  return Array.from({ length: table.length / units }, (_, layer) =>
    table.subarray(layer * units, (layer + 1) * units),
  )
}

/** One kind of unit of a mask: its values [L, U], its scores [L, U], units per layer. */
export interface KindOfUnit {
  readonly kind: UnitKind
  readonly values: Float32Array
  readonly scores: Float32Array
  readonly units: number
}

/** Both kinds of unit. */
export function bothKinds(mask: UnitMask, scores: UnitScores): KindOfUnit[] {
  return unitKinds.map((kind) => ({
    kind,
    values: mask[kind],
    scores: scores[kind],
    units: mask.shape[kind],
  }))
}

/** @throws Error naming the first unit that one mask keeps and the other does not */
export function sameMask(actual: UnitMask, expected: UnitMask): void {
  for (const kind of unitKinds) sameBits(kind, actual[kind], expected[kind])
}
