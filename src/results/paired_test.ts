/**
 * Whether a difference could be chance, without a model of how scores are distributed: a paired randomization test.
 *
 * If two methods were alike, the two costs of a document could as well be exchanged. The p of a difference is the share of all
 * such exchanges, one or none in each document, under which the sum of differences is at least as far from zero.
 */
import { Random } from '../tensor/random.ts'

/** All exchanges are tried for so many units; for more, so many are drawn. */
const EXACT_UNITS = 16
const DRAWS = 65_535

/**
 * The p of paired differences; 1 for fewer than two.
 * @param differences of one document each
 * @param draws how many exchanges are drawn where there are too many to try all
 */
export function pairedP(differences: readonly number[], draws = DRAWS): number {
  const units = differences.length
  if (units < 2) return 1
  // Sums in another order differ in their last bits: those are taken for equal.
  const least = Math.abs(differences.reduce((sum, value) => sum + value, 0)) * (1 - 1e-9)
  const isAsFar = (exchanged: (unit: number) => boolean): boolean =>
    Math.abs(differences.reduce((sum, value, unit) => sum + (exchanged(unit) ? -value : value), 0)) >= least
  if (units <= EXACT_UNITS) {
    // Exchanging the others is as far: the last unit stays.
    const ways = 2 ** (units - 1)
    let count = 0
    for (let way = 0; way < ways; way++) if (isAsFar((unit) => ((way >> unit) & 1) === 1)) count++
    return count / ways
  }
  const random = new Random(0)
  let count = 1
  for (let draw = 0; draw < draws; draw++) if (isAsFar(() => random.uniform() < 0.5)) count++
  return count / (draws + 1)
}

/**
 * The p of each of several tests that are looked at together, so that one of them is below a level by chance no more often than
 * that level (Holm 1979): in rising order, each times the number of those not yet passed, and never below the one before.
 */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).toSorted((a, b) => ps[a] - ps[b])
  const adjusted = new Array<number>(ps.length)
  let least = 0
  for (const [rank, i] of order.entries()) {
    least = Math.min(1, Math.max(least, ps[i] * (ps.length - rank)))
    adjusted[i] = least
  }
  return adjusted
}
