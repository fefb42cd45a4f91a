/**
 * An experiment as plain text: what it asks, what was measured, what others published, what it comes to, and the
 * command that makes it again.
 */
import type { Column, ExperimentResult, Row } from './experiment_result.ts'
import { cell, groupStarts, heading, isNumeric } from './cells.ts'
import { foldColumns, GAP, wrapLines, type Fit } from './fold.ts'
import { shownLine } from '../tensor/quote.ts'

/** The whole of it, ending with a line break. @param width characters of a line */
export function formatExperiment(result: ExperimentResult, width = Infinity): string {
  const { title, asks, columns, rows, paper, findings, command, complete, seconds } = result
  const table = (of: readonly Column[], rows: readonly Row[]): string =>
    formatTable(of, rows, { columns: width, keys: countKeys(of, rows) })
  const parts = [
    `${title}\n${wrapLines(asks, width)}`,
    rows.length > 0 ? table(columns, rows) : 'Nothing was measured.',
    paper === null
      ? ''
      : `${wrapLines(`Published: ${paper.source}`, width)}\n\n${table(paper.columns, paper.rows)}`,
    findings.map((finding) => wrapLines(`- ${finding}`, width, '  ')).join('\n'),
    complete ? '' : 'The run was stopped: the rows hold what was finished.',
    `$ ${command}\n  (${seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0)} s)`,
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

/** How many columns name a row: those with words at the beginning; at least one. */
function countKeys(columns: readonly Column[], rows: readonly Row[]): number {
  const numbers = columns.findIndex((column) => isNumeric(column, rows))
  return Math.max(1, numbers === -1 ? 1 : numbers)
}

/**
 * Columns lined up, numbers to the right, under headings with their units. Where a table does not fit, units stand below their
 * labels; where it still does not, it is folded.
 */
export function formatTable(columns: readonly Column[], rows: readonly Row[], fit: Fit = {}): string {
  const body = rows.map((row) => columns.map((column) => shownLine(cell(row, column))))
  const widthsUnder = (headings: readonly string[][]): number[] =>
    columns.map((_, i) => Math.max(...[...headings, ...body].map((line) => line[i].length)))
  const short = [columns.map(heading)]
  const isWide = foldColumns(widthsUnder(short), fit).length > 1
  const headings = isWide ? [columns.map(({ label }) => label), columns.map(({ unit = '' }) => unit)] : short
  const widths = widthsUnder(headings)
  const right = columns.map((column) => isNumeric(column, rows))
  const starts = groupStarts(columns, rows)
  const gap = ' '.repeat(GAP)
  const layOut = (part: readonly number[]): string => {
    const lineOf = (line: readonly string[]): string =>
      part
        .map((i) => (right[i] ? line[i].padStart(widths[i]) : line[i].padEnd(widths[i])))
        .join(gap)
        .trimEnd()
    const lines = body.map(lineOf).flatMap((line, i) => (starts[i] ? ['', line] : [line]))
    const rule = part.map((i) => '-'.repeat(widths[i])).join(gap)
    return [...headings.map(lineOf).filter((line) => line !== ''), rule, ...lines].join('\n')
  }
  return foldColumns(widths, fit).map(layOut).join('\n\n')
}
