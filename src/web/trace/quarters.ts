/**
 * The quarters of the units that are kept, by their scores, so that a picture can show which of them count most.
 */
import { unitKinds, type UnitKind, type UnitMask } from '../../masks/mask.ts'
import type { UnitScores } from '../../masks/selection.ts'
import { recordOf } from '../../tensor/records.ts'

/** The lowest scores of the second, third and fourth quarter, of heads and of neurons. */
export type Quarters = Readonly<Record<UnitKind, readonly number[]>>

/** The quarters of the kept units of the ranked layers. */
export function quartersOf(scores: UnitScores, mask: UnitMask, denseLayers: number): Quarters {
  return recordOf(unitKinds, (kind) => {
    const first = denseLayers * mask.shape[kind]
    const kept = scores[kind].filter((_, place) => place >= first && mask[kind][place] !== 0).sort()
    return [1, 2, 3].map((quarter) => kept[Math.floor((quarter * kept.length) / 4)] ?? Infinity)
  })
}

/** The quarter of a score: 0 for the lowest, 3 for the highest. */
export function quarterOf(score: number, kind: UnitKind, quarters: Quarters): number {
  return quarters[kind].filter((bound) => score >= bound).length
}
