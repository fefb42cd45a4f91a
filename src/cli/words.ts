/**
 * Numbers as people read them, and columns.
 */

import type { CheckCounts } from '../engine/next_tokens.ts'
import type { Prefill } from '../masks/planner.ts'
import { defaultPrefill, plannerNames, type PlannerName } from '../planners/index.ts'
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

/** Four significant digits, and the error beside them; a perplexity of thousands is whole. */
export function formatMeasured(value: number | null, error: number | null = null): string {
  if (value === null) return '-'
  const digits = Math.max(0, 3 - Math.floor(Math.log10(value)))
  return value.toFixed(digits) + (error === null ? '' : ` ± ${error.toFixed(digits)}`)
}

/** Four decimals, or two digits of less; and the error beside them in the same way. */
export function formatNats(nats: number, error: number | null): string {
  const figure = (value: number): string =>
    value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(4)
  return figure(nats) + (error === null ? '' : ` ± ${figure(error)}`)
}

/**
 * How much of the weights was skipped for a text.
 * @param skipped share that its mask skips
 * @param isChecked whether the mask only drafted, and all tokens were run again dense
 */
export function skippedWords(planner: PlannerName, skipped: number, isChecked: boolean): string {
  if (planner === 'dense') return 'dense'
  const share = `${Math.round(100 * skipped)} % of the layers' weights`
  return isChecked ? `checked dense, drafts by ${planner} skip ${share}` : `${share} skipped by ${planner}`
}

/** What dense checks did with the drafted tokens. */
export function checkedWords({ rewound, replaced, dropped }: CheckCounts): string {
  return `${formatCount(replaced)} of ${formatCount(rewound)} drafted tokens replaced, ${formatCount(dropped)} dropped`
}

/** Two digits of a difference: "1.2e-7", and "0" for none. */
export function formatError(error: number): string {
  return error === 0 ? '0' : error.toExponential(1)
}

/** 9.5 is "9.5 tokens/s", and 12.5 "13 tokens/s". */
export function formatRate(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0)} tokens/s`
}

/** Two digits of a short time, in ms; whole ms from 100 on, and seconds from 1000 on. */
export function formatMilliseconds(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`
  // Two digits of 99.5 would be 1.0e+2.
  return milliseconds >= 99.5 ? `${Math.round(milliseconds)} ms` : `${milliseconds.toPrecision(2)} ms`
}

/** About how long: whole seconds below 90 s, whole minutes below 90 minutes, and hours. */
export function formatDuration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`
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
  readonly sparsity: number | null
  readonly achieved: { readonly heads: number; readonly neurons: number }
}): string[] {
  const isUsual = leaky || plannerNames.every((name) => name !== planner || prefill === defaultPrefill(name))
  return [
    leaky ? `${planner} (leaky)` : isUsual ? planner : `${planner} (${prefill} prompt)`,
    sparsity === null ? '-' : `${Math.round(1000 * sparsity) / 10} %`,
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
