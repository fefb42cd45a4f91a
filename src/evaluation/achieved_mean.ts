/**
 * What was really skipped, averaged over masks: of the whole model, and layer by layer.
 */
import { achievedSparsity, type AchievedSparsity, type Sparsity } from '../masks/achieved.ts'
import { denseMask, type UnitMask, type UnitShape } from '../masks/mask.ts'

/** What a mask skips; no mask skips nothing. @param width D */
export function achievedBy(mask: UnitMask | null, shape: UnitShape, width: number): AchievedSparsity {
  return achievedSparsity(mask ?? denseMask(shape), width)
}

/** The mean; there must be at least one. */
export function meanAchieved(all: readonly AchievedSparsity[]): AchievedSparsity {
  return {
    ...meanOf(all),
    layers: all[0].layers.map((_, layer) => meanOf(all.map(({ layers }) => layers[layer]))),
  }
}

function meanOf(all: readonly Sparsity[]): Sparsity {
  const mean = (kind: keyof Sparsity): number => all.reduce((sum, one) => sum + one[kind], 0) / all.length
  return { heads: mean('heads'), neurons: mean('neurons'), weights: mean('weights') }
}
