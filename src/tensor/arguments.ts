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
  const near =
    name.length <= MAX_NAME
      ? nearestName(name, known, (near) => Math.max(2, name.length / 3, near.length / 3))
      : null
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

/**
 * The known name that a name probably means, regardless of case: the one that it begins, else the nearest one (`spelledLike`), else the
 * one that it has a word more than, at its beginning or end. Null where there is none, or more than one: of names that begin alike the
 * shortest is meant.
 */
export function nearestName<Name extends string>(
  name: string,
  known: readonly Name[],
  most: number | ((near: Name) => number),
): Name | null {
  const meant = plain(name)
  const begun = known.filter((near) => plain(near).startsWith(meant))
  const shortest = begun.find((near) => begun.every((other) => plain(other).startsWith(plain(near))))
  if (meant.length > 1 && shortest !== undefined) return shortest
  const like = spelledLike(name, known, most)
  if (like !== null) return like
  const within = known.filter((near) => {
    const word = plain(near)
    return word.length > 2 && (meant.startsWith(`${word}-`) || meant.endsWith(`-${word}`))
  })
  return within.length === 1 ? within[0] : null
}

/** Names are compared without capitals, and whatever joins their words. */
const plain = (name: string): string => name.toLowerCase().replaceAll('_', '-')

/**
 * The known name nearest to this one, regardless of case; of equally near ones that with the longest beginning and end in common, then
 * that of the nearest length. Null if none is nearer than all others.
 * @param most edits that it may be away
 */
export function spelledLike<Name extends string>(
  name: string,
  known: readonly Name[],
  most: number | ((near: Name) => number),
): Name | null {
  const meant = plain(name)
  const [first, second] = known
    .map((near) => ({ near, distance: editDistance(meant, plain(near)) }))
    .filter(({ near, distance }) => distance <= (typeof most === 'number' ? most : most(near)))
    .map(({ near, distance }) => {
      const [letters, others] = [[...meant], [...plain(near)]]
      const common = sharedStart(letters, others) + sharedStart(letters.toReversed(), others.toReversed())
      return {
        near,
        rank: [distance, -Math.min(common, letters.length), Math.abs(near.length - name.length)],
      }
    })
    .toSorted((a, b) => compareRanks(a.rank, b.rank))
  return first !== undefined && (!second || compareRanks(first.rank, second.rank) < 0) ? first.near : null
}

/** How many letters two words begin with alike. */
function sharedStart(letters: readonly string[], others: readonly string[]): number {
  const different = letters.findIndex((letter, i) => letter !== others[i])
  return different < 0 ? letters.length : different
}

/** The order of two lists of numbers by the first that differs. */
function compareRanks(a: readonly number[], b: readonly number[]): number {
  return a.map((value, i) => value - b[i]).find((difference) => difference !== 0) ?? 0
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
