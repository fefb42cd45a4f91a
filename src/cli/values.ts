/**
 * The values of flags, read strictly: digits where a number is expected; a value outside a range is refused with the range.
 *
 * Each maker returns a parser for commander. A refusal is a UsageError that names the flag.
 */
import { MAX_THREADS } from '../backends/backend.ts'
import { UsageError } from '../tensor/errors.ts'

const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

/** Makes the parser of a flag whose values are from `least` to `most`; default: no upper limit. */
type RangeFlag = (name: string, least: number, most?: number) => (text: string) => number

const rangeFlag =
  (pattern: RegExp, noun: string): RangeFlag =>
  (name, least, most = Infinity) =>
  (text) => {
    const value = pattern.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    const range = most === Infinity ? `, ${least} or more` : ` from ${least} to ${most}`
    throw new UsageError('VALUE', `--${name}: expected ${noun}${range}, got ${quote(text)}`)
  }

/** A number. */
export const numberFlag: RangeFlag = rangeFlag(number, 'a number')

/** A whole number. */
export const wholeFlag: RangeFlag = rangeFlag(/^-?\d+$/, 'a whole number')

/** A share of units. */
export function shareFlag(name: string): (text: string) => number {
  return (text) => {
    const value = number.test(text) ? Number(text) : NaN
    if (value >= 0 && value <= 1) return value
    const hint = value >= 2 && value <= 100 ? ` (${value} % is ${value / 100})` : ''
    throw new UsageError('SPARSITY', `--${name}: expected a share from 0 to 1, got ${quote(text)}${hint}`)
  }
}

/** The share of units to skip. */
export const sparsityFlag: (text: string) => number = shareFlag('sparsity')

/** Values separated by commas, without duplicates, in the order given. */
export function listFlag<T>(read: (item: string) => T): (text: string) => T[] {
  return (text) => [...new Set(text.split(',').map((item) => read(item.trim())))]
}

/** Shares separated by commas, without duplicates, in ascending order. */
export function sparsityListFlag(text: string): number[] {
  return listFlag(sparsityFlag)(text).toSorted((a, b) => a - b)
}

/** Known names separated by commas, without duplicates, in the order given. @param code of the refusal */
export function namesFlag<Name extends string>(
  flag: string,
  known: readonly Name[],
  code: string,
): (text: string) => Name[] {
  return listFlag((name) => {
    const found = known.find((one) => one === name)
    if (found !== undefined) return found
    throw new UsageError(code, `--${flag}: expected names of ${known.join(', ')}, got ${quote(name)}`)
  })
}

/** A number of threads, or auto. */
export function threadsFlag(text: string): number | 'auto' {
  return text === 'auto' ? text : threadCount(text)
}

const threadCount = rangeFlag(/^\d+$/, 'auto or a whole number')('threads', 1, MAX_THREADS)

/** A number of tokens, or auto. */
export function everyFlag(text: string): number | 'auto' {
  return text === 'auto' ? text : everyCount(text)
}

const everyCount = rangeFlag(/^-?\d+$/, 'auto or a whole number')('every', 1)

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

const MAX_SEED = 2 ** 32 - 1

/** Seeds are 32-bit. */
export const seedFlag: (text: string) => number = wholeFlag('seed', 0, MAX_SEED)

/** Seeds separated by commas, without duplicates, in the order given. */
export const seedListFlag: (text: string) => number[] = listFlag(wholeFlag('seeds', 0, MAX_SEED))

function quote(text: string): string {
  return text === '' ? 'nothing' : text
}
