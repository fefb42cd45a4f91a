/**
 * Scores sorted, and which of them a mask keeps: these need not be the first, because a layer may keep its best units whatever
 * the others score.
 */

/** The units of one kind in the order of selection. */
export interface Ranking {
  readonly scores: Float32Array // [N], best first; NaN is last
  readonly kept: Uint8Array // [N], 1 for a unit that the mask keeps
  /** How many are kept, and how many of them come before every skipped unit. */
  readonly count: number
  readonly leading: number
}

/** Ranks scores [N] as selection does: ties go to the lower index. @param mask [N], 0 for a skipped unit */
export function rankUnits(scores: Float32Array, mask: Float32Array): Ranking {
  const worth = scores.map((score) => (Number.isNaN(score) ? -Infinity : score))
  const order = Uint32Array.from(scores.keys()).sort(
    (a, b) =>
      (worth[b] > worth[a] ? 1 : worth[b] < worth[a] ? -1 : 0) ||
      Number(Number.isNaN(scores[a])) - Number(Number.isNaN(scores[b])) ||
      a - b,
  )
  const kept = Uint8Array.from(order, (unit) => (mask[unit] === 0 ? 0 : 1))
  const firstSkipped = kept.indexOf(0)
  return {
    scores: Float32Array.from(order, (unit) => scores[unit]),
    kept,
    count: kept.reduce((sum, one) => sum + one, 0),
    leading: firstSkipped < 0 ? kept.length : firstSkipped,
  }
}

/** Which units are kept, in words: such as `the best 5 of 56 kept`. */
export function keptWords({ kept, count, leading }: Ranking): string {
  const [all, own, best, others] = [kept.length, count, leading, count - leading].map((number) =>
    number.toLocaleString('en'),
  )
  if (count === leading) return count === 0 ? `none of ${all} kept` : `the best ${own} of ${all} kept`
  const floor = `${leading === 0 ? '' : `the best ${best}, and `}${others} as the best of ${others === '1' ? 'its layer' : 'their layers'}`
  return `${own} of ${all} kept: ${floor}`
}

/** The score where the cut is, in words: that of the best skipped unit. Empty where nothing is skipped, or nothing kept. @param write a score in words */
export function cutWords(
  { scores, kept, leading, count }: Ranking,
  write: (score: number) => string,
): string {
  if (count === 0 || leading === kept.length) return ''
  return `the best skipped unit scores ${write(scores[leading])}`
}
