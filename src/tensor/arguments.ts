/**
 * Checks of the arguments of the public API, which JavaScript callers pass without a type check.
 */
import { UsageError } from './errors.ts'

/** A type that an argument must have: its name in errors, and a check. */
export interface Kind {
  readonly words: string
  readonly holds: (value: unknown) => boolean
}

/** The types of options. */
export const kinds = {
  text: { words: 'text', holds: (value) => typeof value === 'string' },
  number: { words: 'a number', holds: (value) => typeof value === 'number' },
  flag: { words: 'true or false', holds: (value) => typeof value === 'boolean' },
  call: { words: 'a function', holds: (value) => typeof value === 'function' },
  signal: { words: 'an AbortSignal', holds: (value) => value instanceof AbortSignal },
  seed: {
    words: 'a whole number from 0 to 4294967295',
    holds: (value) => typeof value === 'number' && value === value >>> 0,
  },
  numberOrAuto: {
    words: 'a number or auto',
    holds: (value) => typeof value === 'number' || value === 'auto',
  },
  ids: { words: 'text or ids', holds: (value) => typeof value === 'string' || isList(value) },
  planner: {
    words: "a planner's name, or an object with its name",
    holds: (value) =>
      typeof value === 'string' || (isObject(value) && 'name' in value && typeof value.name === 'string'),
  },
} satisfies Record<string, Kind>

/** Whether a value is an object, not null. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** Whether a value is array-like. */
export function isList(value: unknown): value is ArrayLike<unknown> {
  return isObject(value) && 'length' in value && Number.isInteger(value.length) && Number(value.length) >= 0
}

/** Describes a value for an error message. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return value === '' ? 'nothing' : `the text ${oneLine(value)}`
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (ArrayBuffer.isView(value)) return value.constructor.name
  return isObject(value) ? 'an object' : String(value)
}

function oneLine(text: string): string {
  return text.slice(0, 40).replace(/\s+/g, ' ').trim()
}

/**
 * Checks the type of a value.
 * @throws UsageError with this code
 */
export function expectKind(value: unknown, kind: Kind, name: string, code: string): void {
  if (!kind.holds(value))
    throw new UsageError(code, `${name}: expected ${kind.words}, got ${describeValue(value)}`)
}

/**
 * Checks the options of a call: they are an object, every name is known, and every value has its type. Ranges are checked
 * by the functions that use the options.
 * @param known the type of each option
 * @throws UsageError OPTIONS if they are no object, OPTION_NAME for an unknown name (with the closest known one), OPTION_TYPE
 */
export function checkOptions(options: unknown, known: Readonly<Record<string, Kind>>): void {
  checkOptionNames(options, Object.keys(known))
  for (const [name, value] of Object.entries(options as object))
    if (value !== undefined) expectKind(value, known[name], name, 'OPTION_TYPE')
}

/** Checks the names of options only. @throws UsageError OPTIONS, OPTION_NAME */
export function checkOptionNames(options: unknown, known: readonly string[]): void {
  if (!isObject(options) || Array.isArray(options))
    throw new UsageError('OPTIONS', `options: expected an object, got ${describeValue(options)}`)
  for (const name of Object.keys(options)) if (!known.includes(name)) throw unknownOption(name, known)
}

function unknownOption(name: string, known: readonly string[]): UsageError {
  const near = nearestName(name, known, Math.max(2, name.length / 3))
  const hint = near === null ? '' : ` (did you mean ${near}?)`
  return new UsageError(
    'OPTION_NAME',
    `options: expected some of ${known.join(', ')}, got ${oneLine(name) || 'nothing'}${hint}`,
  )
}

/** The known name nearest to this one, regardless of case; null if all are more than `most` edits away. */
export function nearestName<Name extends string>(
  name: string,
  known: readonly Name[],
  most: number,
): Name | null {
  let found: { near: Name; distance: number } | null = null
  for (const near of known) {
    const distance = editDistance(name.toLowerCase(), near.toLowerCase())
    if (distance <= most && (!found || distance < found.distance)) found = { near, distance }
  }
  return found && found.near
}

/** The Levenshtein distance of two words. */
function editDistance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 0; i < from.length; i++) {
    const row = [i + 1]
    for (let j = 0; j < to.length; j++)
      row.push(Math.min(above[j] + (from[i] === to[j] ? 0 : 1), above[j + 1] + 1, row[j] + 1))
    above = row
  }
  return above[to.length]
}
