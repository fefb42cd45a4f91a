/**
 * Numbers as people read them, and columns.
 */

import type { Prefill } from '../masks/planner.ts'
import { defaultPrefill, type PlannerName } from '../planners/index.ts'
import { foldColumns, GAP, wrapLines, type Fit } from '../results/fold.ts'
import { shownLine } from '../tensor/quote.ts'

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** 1536 is "1.5 KiB". */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`
}

/** 1.5 of 3000 MiB, in bytes, are "2 of 3,000 MiB": the unit stays while the first number grows. */
export function formatShare(bytes: number, ofBytes: number): string {
  const mebibytes = (value: number): string => formatCount(Math.round(value / 2 ** 20))
  return `${mebibytes(bytes)} of ${mebibytes(ofBytes)} MiB`
}

/** 1234567 is "1,234,567". */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** "1 page" and "1,234 pages". */
export function countOf(count: number, name: string): string {
  return `${formatCount(count)} ${name}${count === 1 ? '' : 's'}`
}

/** 0.125 is "12.5 %". */
export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

/** The first cells of a row of a table that compares methods: name, sparsity asked for, shares of heads and neurons skipped. */
export function methodCells({
  planner,
  leaky,
  prefill,
  sparsity,
  achieved,
}: {
  readonly planner: PlannerName
  readonly leaky: boolean
  readonly prefill: Prefill
  readonly sparsity: number
  readonly achieved: { readonly heads: number; readonly neurons: number }
}): string[] {
  const isUsual = leaky || prefill === defaultPrefill(planner)
  return [
    leaky ? `${planner} (leaky)` : isUsual ? planner : `${planner} (${prefill} prompt)`,
    `${Math.round(1000 * sparsity) / 10} %`,
    formatPercent(achieved.heads),
    formatPercent(achieved.neurons),
  ]
}

const gap = ' '.repeat(GAP)

/** Rows in aligned columns, folded where they do not fit; those in `right` lean to the right. */
export function formatColumns(
  texts: readonly (readonly string[])[],
  right: readonly number[] = [],
  fit: Fit = {},
): string {
  const rows = texts.map((row) => row.map(shownLine))
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  const layOut = (part: readonly number[], row: readonly string[]): string => {
    const cells = part
      .filter((i) => i < row.length)
      .map((i) => (right.includes(i) ? row[i].padStart(widths[i]) : row[i].padEnd(widths[i])))
    return `${cells.join(gap).trimEnd()}\n`
  }
  return foldColumns(widths, fit)
    .map((part) => rows.map((row) => layOut(part, row)).join(''))
    .join('\n')
}

/** Names and what is known of each: a value that does not fit goes on below itself. */
export function formatFacts(
  facts: readonly (readonly [name: string, value: string])[],
  columns: number,
): string {
  const width = Math.max(...facts.map(([name]) => name.length)) + GAP
  const indent = ' '.repeat(width)
  return facts
    .map(([name, value]) => `${wrapLines(shownLine(name.padEnd(width) + value), columns, indent)}\n`)
    .join('')
}
