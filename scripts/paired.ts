/**
 * By how much the KL of rows of `perplexity --json` differs from that of one of them, window by window.
 *
 *   node scripts/node.mjs scripts/paired.ts REPORT[:PLANNER] REPORT[:PLANNER] ...
 *
 * The first row is what the others are compared with. Reports must be of the same windows.
 */
import { readFileSync } from 'node:fs'
import type { TextPerplexityReport } from '../src/evaluation/text_perplexity.ts'
import { commandArguments, write } from '../src/platform/platform.ts'
import { ratioOf } from '../src/results/ratio.ts'

type Row = TextPerplexityReport['rows'][number]

/** A row by the path of its report, and its planner where it is not the only one that skips. */
function rowOf(name: string): Row {
  const [path, planner] = name.split(':')
  const { rows } = JSON.parse(readFileSync(path, 'utf8')) as TextPerplexityReport
  const found = rows.filter((row) =>
    planner === undefined ? row.planner !== 'dense' : row.planner === planner,
  )
  if (found.length === 1) return found[0]
  throw new Error(`${name}: expected one row, got ${found.length}`)
}

const names = commandArguments()
const rows = names.map(rowOf)
const [first] = rows
for (const [i, { units, klPerToken, klPerTokenError }] of rows.entries()) {
  if (units.length !== first.units.length || units.some(({ tokens }, n) => tokens !== first.units[n].tokens))
    throw new Error(`${names[i]}: expected the windows of ${names[0]}, got others`)
  const { value, error } = ratioOf(
    units.map(({ kl }, n) => kl - first.units[n].kl),
    units.map(({ tokens }) => tokens),
  )
  const number = (one: number | null): string => (one ?? NaN).toFixed(4)
  await write(
    'stdout',
    `${names[i]}: ${number(klPerToken)} ± ${number(klPerTokenError)}, ${units.length} windows, over the first ${number(value)} ± ${number(error)}\n`,
  )
}
