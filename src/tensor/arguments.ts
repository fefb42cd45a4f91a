/**
 * Arguments as they come from JavaScript, where no compiler has looked at them: told what they should have been.
 */
import { UsageError } from './errors.ts'

/** What a value has to be: in words, and as a check. */
export interface Kind {
  readonly words: string
  readonly holds: (value: unknown) => boolean
}

/** The kinds that options have. */
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
  threads: {
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

/** Whether something is an object with properties to look at. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** Whether something is a list: an array, a typed array, or what looks like one. */
export function isList(value: unknown): value is ArrayLike<unknown> {
  return isObject(value) && 'length' in value && Number.isInteger(value.length) && Number(value.length) >= 0
}

/** A value in a few words: itself, where it is short. */
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
 * A value of a kind.
 * @throws UsageError with this code
 */
export function expectKind(value: unknown, kind: Kind, name: string, code: string): void {
  if (!kind.holds(value))
    throw new UsageError(code, `${name}: expected ${kind.words}, got ${describeValue(value)}`)
}

/**
 * Looks at the options of a call: that they are an object, that each is known, and that each that is given is of its
 * kind. Ranges are for those to judge who know them.
 * @param known the kind of each option
 * @throws UsageError OPTIONS for no object, OPTION_NAME for an unknown name (the near one is suggested), OPTION_TYPE
 */
export function checkOptions(options: unknown, known: Readonly<Record<string, Kind>>): void {
  checkOptionNames(options, Object.keys(known))
  for (const [name, value] of Object.entries(options as object))
    if (value !== undefined) expectKind(value, known[name], name, 'OPTION_TYPE')
}

/** The same for their names alone. @throws UsageError OPTIONS, OPTION_NAME */
export function checkOptionNames(options: unknown, known: readonly string[]): void {
  if (!isObject(options) || Array.isArray(options))
    throw new UsageError('OPTIONS', `options: expected an object, got ${describeValue(options)}`)
  for (const name of Object.keys(options)) if (!known.includes(name)) throw unknownOption(name, known)
}

function unknownOption(name: string, known: readonly string[]): UsageError {
  const [near] = known
    .map((one) => ({ one, distance: editDistance(name.toLowerCase(), one.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)
  const hint = near.distance <= Math.max(2, name.length / 3) ? ` (did you mean ${near.one}?)` : ''
  return new UsageError(
    'OPTION_NAME',
    `options: expected some of ${known.join(', ')}, got ${oneLine(name) || 'nothing'}${hint}`,
  )
}

/** How many letters have to be put in, taken out or changed to make one word the other. */
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
