/**
 * The facts of one unit under a budget: its score, its rank among competing units, and the cut-off score.
 */
import type { Budget } from '../../masks/budget.ts'
import { unitKinds, type UnitKind, type UnitMask, type UnitShape } from '../../masks/mask.ts'
import type { UnitScores } from '../../masks/selection.ts'

/** One head, or one neuron, of one layer. */
export interface Unit {
  readonly kind: UnitKind
  readonly layer: number
  readonly index: number
}

/** Whether a network of these sizes has such a unit. */
export function hasUnit(shape: UnitShape, { kind, layer, index }: Unit): boolean {
  return (
    unitKinds.includes(kind) && shape.layers > layer && shape[kind] > index && Math.min(layer, index) >= 0
  )
}

/** The facts of a unit. */
export interface UnitFacts {
  readonly kept: boolean
  /** Its score and rank; null in a dense layer. */
  readonly ranked: {
    readonly score: number
    /** How many units have a higher score, and how many others have the same; NaN is the lowest. Of ties, selection takes the lower index. */
    readonly above: number
    readonly ties: number
    /** The number of competing units, itself included. */
    readonly of: number
    /** The cut-off: the lowest score of those kept units that rank before every skipped one; null if there are none. */
    readonly cutOff: number | null
    /** Whether it was kept only by the floor of its layer. */
    readonly byFloor: boolean
    /** How many kept units come after it, ties of a higher index among them. */
    readonly keptBelow: number
  } | null
}

/** The index of a unit in a table [L, U]. */
export function placeOf({ kind, layer, index }: Unit, { shape }: Pick<UnitMask, 'shape'>): number {
  return layer * shape[kind] + index
}

/** The facts of a unit. @param mask `selectMask` of the scores under the budget */
export function unitFacts(unit: Unit, scores: UnitScores, mask: UnitMask, budget: Budget): UnitFacts {
  const { kind, layer } = unit
  const table = scores[kind]
  const units = scores.shape[kind]
  const place = placeOf(unit, mask)
  const kept = mask[kind][place] !== 0
  if (layer < budget.denseLayers) return { kept, ranked: null }
  const alone = budget.scope === 'per-layer'
  const start = alone ? layer * units : budget.denseLayers * units
  const end = alone ? start + units : table.length
  let [above, ties, keptBelow] = [0, 0, 0]
  let skipped: number | null = null // the best of them
  for (let other = start; other < end; other++) {
    if (other !== place) {
      const isBefore = isBetter(table, other, place)
      if (isTie(table, other, place)) ties++
      else if (isBefore) above++
      if (!isBefore && mask[kind][other] !== 0) keptBelow++
    }
    if (mask[kind][other] === 0 && (skipped === null || isBetter(table, other, skipped))) skipped = other
  }
  const isAbove = (other: number): boolean => skipped === null || isBetter(table, other, skipped)
  let cutOff: number | null = null
  for (let other = start; other < end; other++)
    if (mask[kind][other] !== 0 && isAbove(other) && (cutOff === null || worth(table[other]) < worth(cutOff)))
      cutOff = table[other]
  const byFloor = kept && !isAbove(place)
  return { kept, ranked: { score: table[place], above, ties, of: end - start, cutOff, byFloor, keptBelow } }
}

/** Whether one unit ranks before another. */
function isBetter(table: Float32Array, one: number, other: number): boolean {
  const [a, b] = [table[one], table[other]]
  if (a > b) return true
  return isTie(table, one, other) ? one < other : Number.isNaN(b)
}

function isTie(table: Float32Array, one: number, other: number): boolean {
  const [a, b] = [table[one], table[other]]
  return a === b || (Number.isNaN(a) && Number.isNaN(b))
}

/** NaN ranks below every number. */
function worth(score: number): number {
  return Number.isNaN(score) ? -Infinity : score
}
