/**
 * An experiment as plain text: what it asks, what was measured, what others published, what it comes to, and the
 * command that makes it again.
 */
import type { Column, ExperimentResult, Row } from './experiment_result.ts'
import { cell, groupStarts, heading, isNumeric } from './cells.ts'

/** The whole of it, ending with a line break. */
export function formatExperiment(result: ExperimentResult): string {
  const { title, asks, columns, rows, paper, findings, command, complete, seconds } = result
  const parts = [
    `${title}\n${asks}`,
    rows.length > 0 ? formatTable(columns, rows) : 'Nothing was measured.',
    paper === null ? '' : `Published: ${paper.source}\n\n${formatTable(paper.columns, paper.rows)}`,
    findings.map((finding) => `- ${finding}`).join('\n'),
    complete ? '' : 'The run was stopped: the rows hold what was finished.',
    `$ ${command}\n  (${seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0)} s)`,
  ]
  return `${parts
    .filter((part) => part !== '')
    .map(visible)
    .join('\n\n')}\n`
}

/** Columns lined up, numbers to the right, under headings with their units. */
export function formatTable(columns: readonly Column[], rows: readonly Row[]): string {
  const table = [columns.map(heading), ...rows.map((row) => columns.map((column) => cell(row, column)))]
  const widths = columns.map((_, i) => Math.max(...table.map((line) => line[i].length)))
  const right = columns.map((column) => isNumeric(column, rows))
  const lines = table.map((line) =>
    line
      .map((text, i) => (right[i] ? text.padStart(widths[i]) : text.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  )
  const starts = groupStarts(columns, rows)
  const body = lines.slice(1).flatMap((line, i) => (starts[i] ? ['', line] : [line]))
  return [lines[0], widths.map((width) => '-'.repeat(width)).join('  '), ...body].join('\n')
}

/** Control characters in names of files and models would be obeyed by a terminal. */
function visible(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
}
