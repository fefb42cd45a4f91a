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

/** The chance of an error of `provenRatio`. */
const CHANCE = 0.05

/**
 * The median of these ratios where they are told from 1, else 1: by a two-sided sign test over rounds, so that of equal computations one
 * in twenty at most is said to be faster or slower. Fewer than six rounds tell nothing.
 */
export function provenRatio(samples: readonly number[], base: readonly number[]): number {
  const ratios = ratiosOf(samples, base)
  const fewer = Math.min(
    ratios.filter((ratio) => ratio >= 1).length,
    ratios.filter((ratio) => ratio <= 1).length,
  )
  // The probability of `fewer` heads or less of as many coins.
  let [ways, tail] = [1, 0]
  for (let heads = 0; heads <= fewer; heads++) {
    tail += ways
    ways = (ways * (ratios.length - heads)) / (heads + 1)
  }
  return (2 * tail) / 2 ** ratios.length <= CHANCE ? median(ratios) : 1
}
