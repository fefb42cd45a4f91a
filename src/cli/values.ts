/**
 * The values of flags, read strictly: digits where a number is due, its range named where it is outside.
 *
 * Each maker returns a parser for commander. What a parser refuses is a UsageError that names the flag.
 */
import { MAX_THREADS } from '../backends/backend.ts'
import { UsageError } from '../tensor/errors.ts'

interface Range {
  readonly least: number
  readonly most: number
}

const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

/** A number from `least` to `most`. */
export function numberFlag(name: string, { least, most }: Range): (text: string) => number {
  return (text) => {
    const value = number.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    throw new UsageError(
      'VALUE',
      `--${name}: expected ${describe('a number', { least, most })}, got ${quote(text)}`,
    )
  }
}

/** A whole number from `least` to `most`. */
export function wholeFlag(name: string, { least, most }: Range): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    throw new UsageError(
      'VALUE',
      `--${name}: expected ${describe('a whole number', { least, most })}, got ${quote(text)}`,
    )
  }
}

/** A share of units. */
export function shareFlag(name: string): (text: string) => number {
  return (text) => readShare(text, name)
}

/** The share of units to skip. */
export const sparsityFlag: (text: string) => number = shareFlag('sparsity')

/** Shares separated by commas, without doubles, in ascending order. */
export function sparsityListFlag(text: string): number[] {
  return [...new Set(text.split(',').map((item) => readShare(item.trim(), 'sparsity')))].toSorted(
    (a, b) => a - b,
  )
}

/** Names out of a few, separated by commas, without doubles, in the order given. */
export function namesFlag<Name extends string>(
  flag: string,
  known: readonly Name[],
  code: string,
): (text: string) => Name[] {
  return (text) => [
    ...new Set(
      text.split(',').map((item) => {
        const name = item.trim()
        const found = known.find((one) => one === name)
        if (found !== undefined) return found
        throw new UsageError(
          code,
          `--${flag}: expected names of ${known.join(', ')}, got ${name === '' ? 'nothing' : name}`,
        )
      }),
    ),
  ]
}

/** A number of threads, or auto. */
export function threadsFlag(text: string): number | 'auto' {
  if (text === 'auto') return text
  const count = /^\d+$/.test(text) ? Number(text) : NaN
  if (count >= 1 && count <= MAX_THREADS) return count
  throw new UsageError(
    'VALUE',
    `--threads: expected auto or ${describe('a whole number', { least: 1, most: MAX_THREADS })}, got ${quote(text)}`,
  )
}

const byteUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ...['k', 'm', 'g', 't'].flatMap((letter, i): [string, number][] => [
    [`${letter}b`, 1000 ** (i + 1)],
    [`${letter}ib`, 1024 ** (i + 1)],
  ]),
])

/** A number of bytes, from 1 on: 5000000, 5GB (5 * 10^9) or 5GiB (5 * 2^30). */
export function bytesFlag(name: string): (text: string) => number {
  return (text) => {
    const [, digits, unit] = /^(\d+) ?([a-z]*)$/i.exec(text) ?? []
    const bytes = Number(digits) * (byteUnits.get((unit ?? '').toLowerCase()) ?? NaN)
    if (Number.isSafeInteger(bytes) && bytes >= 1) return bytes
    throw new UsageError(
      'VALUE',
      `--${name}: expected bytes, such as 5000000, 5GB or 5GiB, got ${quote(text)}`,
    )
  }
}

/** Seeds are 32-bit. */
export const seedFlag: (text: string) => number = wholeFlag('seed', { least: 0, most: 2 ** 32 - 1 })

/** Seeds separated by commas, without doubles, in the order given. */
export function seedListFlag(text: string): number[] {
  const read = wholeFlag('seeds', { least: 0, most: 2 ** 32 - 1 })
  return [...new Set(text.split(',').map((item) => read(item.trim())))]
}

function readShare(text: string, name: string): number {
  const value = number.test(text) ? Number(text) : NaN
  if (value >= 0 && value <= 1) return value
  const hint = value >= 2 && value <= 100 ? ` (${value} % is ${value / 100})` : ''
  throw new UsageError('SPARSITY', `--${name}: expected a share from 0 to 1, got ${quote(text)}${hint}`)
}

function describe(noun: string, { least, most }: Range): string {
  if (most === Infinity) return `${noun}, ${least} or more`
  return `${noun} from ${least} to ${most}`
}

function quote(text: string): string {
  return text === '' ? 'nothing' : text
}
