/**
 * Values as a reader sees them: the same figures on the terminal and in the page.
 */
import type { Column, Row } from './experiment_result.ts'

/** The content of a cell without a measurement. */
export const NOTHING = '-'

/** The heading of a column, with its unit. */
export function heading({ label, unit }: Column): string {
  return unit === undefined ? label : `${label} (${unit})`
}

/** The value of a row under a column. */
export function cell(row: Row, column: Column): string {
  const value = row[column.key] ?? null
  if (value === null) return NOTHING
  return typeof value === 'string' ? value.replace(/\s+/g, ' ') : figure(value, column.digits)
}

/** A share as people say it. */
export function percent(share: number): string {
  return `${Math.round(1000 * share) / 10} %`
}

/** A standard error in nats; ? if it is not known. */
export function formatError(error: number | null): string {
  return error === null ? '?' : error.toFixed(3)
}

/**
 * "a is 0.031 ± 0.006 nats per token better than b", or that chance could do as much: within two standard errors.
 * @param nats by which the first costs more than the second @param error one standard error; null if it is not known
 */
export function sayDifference(
  first: string,
  second: string,
  { nats, error }: { readonly nats: number; readonly error: number | null },
): string {
  const size = `${Math.abs(nats).toFixed(3)} ± ${formatError(error)} nats per token`
  const isTold = error !== null && Math.abs(nats) >= 2 * error
  return `${first} is ${size} ${nats <= 0 ? 'better' : 'worse'} than ${second}${isTold ? '' : ', which chance could do'}`
}

/** Whether a column holds numbers, which lean to the right, or nothing at all. */
export function isNumeric(column: Column, rows: readonly Row[]): boolean {
  return rows.every((row) => typeof row[column.key] !== 'string')
}

/**
 * For each row, whether it begins a group: where rows with the same first value stand together, as those of one model do.
 * In a table without such neighbours no row begins one.
 */
export function groupStarts(columns: readonly Column[], rows: readonly Row[]): boolean[] {
  const key = columns[0]?.key ?? ''
  const differs = rows.map((row, i) => i > 0 && row[key] !== rows[i - 1][key])
  return differs.filter(Boolean).length < rows.length - 1 ? differs : rows.map(() => false)
}

/**
 * A number with `digits` digits after the point; without it four significant digits, as a power of ten where that is
 * easier to read. Thousands are set apart from 10,000 on.
 */
export function figure(value: number, digits?: number): string {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  const text = digits === undefined ? significant(value) : size < 1e15 ? value.toFixed(digits) : power(value)
  const grouped = Number(text) >= 1e4 || Number(text) <= -1e4 ? groupThousands(text) : text
  return /[1-9]/.test(grouped) || !grouped.startsWith('-') ? grouped : grouped.slice(1)
}

function significant(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return power(value)
  return size >= 1000 ? value.toFixed(0) : value.toPrecision(4)
}

/** 251.5e6 is "2.515e8". */
function power(value: number): string {
  return value.toExponential(3).replace('e+', 'e')
}

function groupThousands(text: string): string {
  if (text.includes('e')) return text
  const [whole, fraction] = text.split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',')
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}
