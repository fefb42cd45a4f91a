/**
 * Tables as Markdown, padded as a formatter would, and numbers in them.
 */

/** A number and its error; a dash for what was not measured. */
export function pair(value: unknown, error: unknown, digits: number): string {
  if (typeof value !== 'number') return '-'
  return value.toFixed(digits) + (typeof error === 'number' ? ` ± ${error.toFixed(digits)}` : '')
}

/** A table; what no row has but a dash is no column. Ends with a line break. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const shown = head.flatMap((_, i) => (rows.some((row) => row[i] !== '-') ? [i] : []))
  const table = [head, ...rows].map((row) => shown.map((i) => row[i]))
  const widths = shown.map((_, column) => Math.max(...table.map((row) => row[column].length)))
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |\n`
  const [names, ...rest] = table
  return [names, widths.map((width) => '-'.repeat(width)), ...rest].map(line).join('')
}
