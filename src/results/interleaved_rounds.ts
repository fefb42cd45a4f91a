/**
 * Interleaved rounds: methods that are compared run in turns, so that whatever else the machine does affects all of them,
 * and ratios are taken within a round. Figures of two runs cannot be compared; ratios can.
 */

/**
 * The order of the turns in one round of `count`. Each round begins with another one, and the direction alternates, so
 * that what a turn leaves behind (caches, a memory bus that was just busy) affects all of them.
 */
export function turnOrder(round: number, count: number): number[] {
  return Array.from({ length: count }, (_, turn) => (round + (round % 2 === 0 ? turn : count - turn)) % count)
}

/**
 * Runs every turn in every round, in that order.
 * @param run one turn, and how many were before it
 * @throws what `run` throws
 */
export async function interleave(
  rounds: number,
  count: number,
  run: (turn: number, done: number) => void | Promise<void>,
): Promise<void> {
  let done = 0
  for (let round = 0; round < rounds; round++)
    for (const turn of turnOrder(round, count)) await run(turn, done++)
}

/** The middle value, or the mean of the two in the middle. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The sample standard deviation. NaN for fewer than two values. */
export function deviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return values.length < 2 ? NaN : Math.sqrt(squares / (values.length - 1))
}

/** Values divided by those of the same round, over the rounds that both have. */
function ratiosOf(samples: readonly number[], base: readonly number[]): number[] {
  const both = Math.min(samples.length, base.length)
  return samples.slice(0, both).map((sample, round) => sample / base[round])
}

/** The median of these ratios. NaN for none. */
export function medianRatio(samples: readonly number[], base: readonly number[]): number {
  return median(ratiosOf(samples, base))
}

/** A median of ratios, and an interval that holds the true one but for a given chance. */
export interface RatioInterval {
  readonly median: number
  readonly low: number
  readonly high: number
}

/**
 * The median of ratios within a round and its interval, which assumes nothing of how times are distributed: each round's ratio is
 * above the true median as often as below, so the k-th smallest and k-th largest enclose it, but for the chance that fewer than k of
 * fair coins fall on one side.
 * @param chance how often the interval may miss
 * @returns null for rounds too few to exclude that chance: fewer than 8 for 1 in 100
 */
export function ratioInterval(
  samples: readonly number[],
  base: readonly number[],
  chance = 0.01,
): RatioInterval | null {
  const ratios = ratiosOf(samples, base).toSorted((a, b) => a - b)
  const both = ratios.length
  let k = 0
  let ways = 1 // how many of the 2^n outcomes have k heads
  for (let missed = 2 / 2 ** both; missed <= chance; missed += (2 * ways) / 2 ** both) {
    k++
    ways = (ways * (both - k + 1)) / k
  }
  return k === 0 ? null : { median: median(ratios), low: ratios[k - 1], high: ratios[both - k] }
}

/**
 * The median of ratios within a round and its interval, as `ratioInterval`; of rounds too few for one, the smallest and the largest ratio.
 * @returns null for fewer than two rounds
 */
export function ratioRange(
  samples: readonly number[],
  base: readonly number[],
  chance: number,
): RatioInterval | null {
  const ratios = ratiosOf(samples, base)
  if (ratios.length < 2) return null
  return (
    ratioInterval(samples, base, chance) ?? {
      median: median(ratios),
      low: Math.min(...ratios),
      high: Math.max(...ratios),
    }
  )
}

/**
 * The median of these ratios where they are told from 1, else 1: of equal computations one in twenty at most is said to be faster or
 * slower. Fewer than six rounds tell nothing.
 */
export function provenRatio(samples: readonly number[], base: readonly number[]): number {
  const interval = ratioInterval(samples, base, 0.05)
  return interval !== null && isTold(interval) ? interval.median : 1
}

/** Whether an interval of a ratio tells it from 1. */
export function isTold({ low, high }: Pick<RatioInterval, 'low' | 'high'>): boolean {
  return low > 1 || high < 1
}

/** Equal computations differ by less: buffers that lie elsewhere, another history of a core. */
const ALIKE = 0.05

/** What an interval of a ratio of speeds allows to say. */
export function judgeRatio({
  low,
  high,
}: Pick<RatioInterval, 'low' | 'high'>): 'faster' | 'slower' | 'alike' {
  if (low > 1 + ALIKE) return 'faster'
  return high < 1 / (1 + ALIKE) ? 'slower' : 'alike'
}
