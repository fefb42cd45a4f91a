/**
 * Rows of values in which every pair of values of two options stands at least once: far fewer than all combinations.
 */
import { Random } from '../../src/tensor/random.ts'

/** Values of each option; undefined leaves it out. */
export type OptionValues = Readonly<Record<string, readonly unknown[]>>

/** A value for each option. */
export type OptionRow = Readonly<Record<string, unknown>>

/** Rows that are drawn for each row that is taken. */
const CANDIDATES = 20
/** Rows with a pair that may be refused before the pair is taken to be impossible. */
const ATTEMPTS = 5

/** Rows that have every pair that is possible, and the rows that were refused on the way. */
export interface CoveringRows {
  readonly rows: readonly OptionRow[]
  readonly refused: readonly OptionRow[]
}

/**
 * Covers the pairs greedily: of some random rows with a missing pair, the one with the most missing pairs is taken, if it is accepted.
 * A pair all of whose rows are refused is no pair.
 */
export async function coverPairs(
  options: OptionValues,
  isAccepted: (row: OptionRow) => Promise<boolean>,
  seed = 1,
): Promise<CoveringRows> {
  const random = new Random(seed)
  const names = Object.keys(options)
  /** Missing pairs, and how often a row with one was refused. */
  const missing = new Map<string, number>()
  const pairsOf = (row: readonly number[]): string[] =>
    row.flatMap((i, a) => row.slice(a + 1).map((j, n) => `${a} ${i} ${a + 1 + n} ${j}`))
  for (let a = 0; a < names.length; a++)
    for (let b = a + 1; b < names.length; b++)
      for (let i = 0; i < options[names[a]].length; i++)
        for (let j = 0; j < options[names[b]].length; j++) missing.set(`${a} ${i} ${b} ${j}`, 0)
  const [rows, refused]: [OptionRow[], OptionRow[]] = [[], []]
  while (missing.size > 0) {
    const pairs = [...missing.keys()]
    const target = pairs[random.below(pairs.length)]
    const [a, i, b, j] = target.split(' ').map(Number)
    const attempts = missing.get(target) as number
    let best: number[] = []
    let most = 0
    // The more often a pair was refused, the more of the other options are left out beside it: those come first in their lists.
    for (let c = 0; c < CANDIDATES; c++) {
      const row = names.map((name) =>
        random.uniform() * ATTEMPTS < attempts ? 0 : random.below(options[name].length),
      )
      row[a] = i
      row[b] = j
      const count = pairsOf(row).filter((pair) => missing.has(pair)).length
      if (count > most) [best, most] = [row, count]
    }
    const row = Object.fromEntries(names.map((name, n) => [name, options[name][best[n]]]))
    if (await isAccepted(row)) {
      rows.push(row)
      for (const pair of pairsOf(best)) missing.delete(pair)
    } else {
      refused.push(row)
      if (attempts >= ATTEMPTS) missing.delete(target)
      else missing.set(target, attempts + 1)
    }
  }
  return { rows, refused }
}

/** The given options of a row: those that are not left out. */
export function givenOf(row: OptionRow): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined))
}
