/**
 * Numbers as people read them, and columns.
 */

import type { Prefill } from '../masks/planner.ts'
import { defaultPrefill } from '../predictor/late_planner.ts'

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
  readonly planner: string
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

/** Text without the control characters that a terminal would obey; tabs and line breaks stay. */
export function harmless(text: string): string {
  return text.replace(/[\p{Cc}--[\n\t]]/gv, '')
}

/** Rows in aligned columns; those in `right` lean to the right. */
export function formatColumns(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows
    .map((row) => {
      const cells = row.map((cell, i) =>
        right.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]),
      )
      return `${cells.join('  ').trimEnd()}\n`
    })
    .join('')
}
