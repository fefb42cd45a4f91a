/**
 * The tables of a grid, as Markdown.
 */
import { SPEED_WORDS } from '../../src/experiments/grid.ts'
import { sayP } from '../../src/experiments/grid_rows.ts'
import type { Row } from '../../src/results/experiment_result.ts'
import type { Grid, GridRun } from './grid.ts'
import { markdownTable, pair } from './table.ts'

/** A table for each budget, under its name, then what was found and the command. */
export function tablesOf({ rows: all, budgets, findings: found, runs }: Grid): string {
  const tables = budgets.map(tableOf)
  const dense = all.filter(({ planner }) => planner === 'dense')
  const perplexities = dense.map(
    (row) => `windows of ${String(row.window)}: ${pair(row.perplexity, row.perplexityError, 2)}`,
  )
  const speeds = runs.flatMap(({ result }) => result.findings.filter((one) => one.startsWith(SPEED_WORDS)))
  const findings = [...found, ...speeds].map((finding) => `- ${finding}`).join('\n')
  return `Dense perplexity, ${perplexities.join(', ')}.\n\n${tables.join('\n')}\n${findings}\n\n${commandsOf(runs)}\n`
}

/** The commands of runs, as a block. */
export function commandsOf(runs: readonly GridRun[]): string {
  return `\`\`\`sh no-run\n${runs.map(({ result }) => result.command).join('\n')}\n\`\`\``
}

/** @param said what is the same in all rows of the table */
function titleOf({ window, units, sparsity }: Row, said: readonly string[]): string {
  const which = units === 'both' ? 'heads and neurons' : String(units)
  const share = `**${Math.round(10 * Number(sparsity)) / 10} % of ${which}**`
  return `${[`${share}, prompt + continuation ${String(window)}`, ...said].join('; ')}:`
}

const head = [
  'planner',
  'decides',
  'prompt',
  'heads, %',
  'neurons, %',
  'KL',
  'over static',
  'p',
  'perplexity',
  'same, %',
  'tokens/s',
]

/** Columns of which one value for all rows stands in the title, and how it is said. */
const shared: Readonly<Record<string, (value: string) => string>> = {
  decides: (value) => `decided ${value}`,
  prompt: (value) => `${value} prompt`,
  'heads, %': (value) => `${value} % of all heads`,
  'neurons, %': (value) => `${value} % of all neurons`,
}

/** A budget under its name, least KL first, as Markdown. */
function tableOf(rows: readonly Row[]): string {
  const cells = rows
    .toSorted((a, b) => Number(a.kl) - Number(b.kl))
    .map((row) => [
      String(row.planner),
      String(row.every),
      String(row.prompt),
      share(row.heads),
      share(row.neurons),
      pair(row.kl, row.klError, 3),
      pair(row.overStatic, row.overStaticError, 3),
      row.overStaticP === null ? '-' : sayP(Number(row.overStaticP)).replace('p = ', ''),
      pair(row.perplexity, row.perplexityError, 1),
      pair(row.agreement, row.agreementError, 1),
      pair(row.speed, null, 1),
    ])
  const isShared = head.map(
    (name, i) => name in shared && cells.length > 1 && cells.every((row) => row[i] === cells[0][i]),
  )
  const table = [head, ...cells].map((row) => row.filter((_, i) => !isShared[i]))
  const said = head.flatMap((name, i) =>
    isShared[i] && cells[0][i] !== '-' ? [shared[name](cells[0][i])] : [],
  )
  return `${titleOf(rows[0], said)}\n\n${markdownTable(table[0], table.slice(1))}`
}

/** What is skipped of all units of the model, in per cent; a dash where none is. */
function share(value: Row[string]): string {
  return value === 0 ? '-' : pair(value, null, 1)
}
