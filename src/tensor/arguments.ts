/**
 * What callers of JavaScript pass without a type check: described in words, and the names of options checked.
 */
import { UsageError } from './errors.ts'

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
 * Checks the names of options only.
 * @param what one of them is called
 * @throws UsageError OPTIONS, OPTION_NAME
 */
export function checkOptionNames(
  options: unknown,
  known: readonly string[],
  what: 'option' | 'field' = 'option',
): void {
  if (!isObject(options) || Array.isArray(options))
    throw new UsageError('OPTIONS', `options: expected an object, got ${describeValue(options)}`)
  for (const name of Object.keys(options)) if (!known.includes(name)) throw unknownOption(name, known, what)
}

/** The longest name that is compared with known ones. */
export const MAX_NAME = 64

function unknownOption(name: string, known: readonly string[], what: string): UsageError {
  const near = name.length <= MAX_NAME ? nearestName(name, known, Math.max(2, name.length / 3)) : null
  const [hint, expected] =
    near === null ? ['', `one of ${known.join(', ')}`] : [` (did you mean ${near}?)`, 'a known one']
  return new UsageError(
    'OPTION_NAME',
    `unknown ${what} ${oneLine(name) || '""'}${hint}: expected ${expected}`,
    {
      option: oneLine(name),
    },
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
