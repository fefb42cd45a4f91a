/**
 * The tables of docs/grid.md, each between two comments that name its run.
 */
import { gridFindings, SPEED_WORDS } from '../../src/experiments/grid.ts'
import type { Row } from '../../src/results/experiment_result.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { budgetsOf, type GridRun } from './data.ts'

const begin = (name: string): string => `<!-- npm run bench:grid: ${name} -->`
const END = '<!-- the end of it -->'

/** The page with the table of a run in the place of the one that stands there. @throws InputError GRID_PLACE without one */
export function pageWith(text: string, name: string, run: GridRun): string {
  const [before, rest] = text.split(begin(name))
  const end = rest?.indexOf(END) ?? -1
  if (end === -1)
    throw new InputError('GRID_PLACE', `docs/grid.md: expected "${begin(name)}" and "${END}", got neither`)
  return `${before}${begin(name)}\n\n${tablesOf(run)}\n${rest.slice(end)}`
}

/** The runs whose tables a page has, each named by a line of its own. */
export function runsIn(text: string): string[] {
  return [...text.matchAll(/^<!-- npm run bench:grid: ([\w-]+) -->$/gm)].map(([, name]) => name)
}

/** A table for each budget, under its name, then what was found and the command. */
function tablesOf({ result }: GridRun): string {
  const tables = budgetsOf(result).map((rows) => `${titleOf(rows[0])}\n\n${tableOf(rows)}`)
  const dense = result.rows.filter(({ planner }) => planner === 'dense')
  const perplexities = dense.map(
    (row) => `windows of ${String(row.window)}: ${pair(row.perplexity, row.perplexityError, 2)}`,
  )
  // Files of earlier versions have findings on cells of unequal shares: only the machine's load is read from there.
  const speeds = result.findings.filter((finding) => finding.startsWith(SPEED_WORDS))
  const findings = [...gridFindings(result.rows), ...speeds].map((finding) => `- ${finding}`).join('\n')
  const command = `\`\`\`sh no-run\n${result.command}\n\`\`\``
  return `Dense perplexity, ${perplexities.join(', ')}.\n\n${tables.join('\n')}\n${findings}\n\n${command}\n`
}

function titleOf({ window, units, sparsity }: Row): string {
  const which = units === 'both' ? 'heads and neurons' : String(units)
  return `**${String(sparsity)} % of ${which}**, prompt + continuation ${String(window)}:`
}

const head = [
  'planner',
  'decides',
  'prompt',
  'heads, %',
  'neurons, %',
  'KL',
  'over static',
  'over griffin',
  'perplexity',
  'same, %',
  'tokens/s',
]

/** A budget, least KL first, as Markdown. */
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
      pair(row.overGriffin, row.overGriffinError, 3),
      pair(row.perplexity, row.perplexityError, 1),
      pair(row.agreement, row.agreementError, 1),
      pair(row.speed, null, 1),
    ])
  // What no row has is no column.
  const shown = head.flatMap((_, i) => (cells.some((row) => row[i] !== '-') ? [i] : []))
  const table = [head, ...cells].map((row) => shown.map((i) => row[i]))
  const widths = shown.map((_, column) => Math.max(...table.map((row) => row[column].length)))
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |\n`
  const [names, ...rest] = table
  return [names, widths.map((width) => '-'.repeat(width)), ...rest].map(line).join('')
}

/** What is skipped of all units of the model, in per cent; a dash where none is. */
function share(value: Row[string]): string {
  return value === 0 ? '-' : pair(value, null, 1)
}

/** A number and its error; a dash for what was not measured. */
function pair(value: Row[string], error: Row[string], digits: number): string {
  if (typeof value !== 'number') return '-'
  return value.toFixed(digits) + (typeof error === 'number' ? ` ± ${error.toFixed(digits)}` : '')
}
