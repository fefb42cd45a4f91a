/**
 * Options, said once: what one takes, in words and as a check, how a text spells it, and the code of its refusal. The library, the
 * flags of commands, the fields of requests and the address of the page judge by the same record.
 *
 * A record stands beside what it is for, such as that of a temperature beside the sampler (engine/sampling.ts).
 */
import { checkOptionNames, describeValue, isList, isObject, MAX_NAME, nearestName } from './arguments.ts'
import { UsageError } from './errors.ts'

/** What a value must be. */
export interface Kind {
  /** What is expected, in errors. */
  readonly words: string
  readonly holds: (value: unknown) => boolean
  /** Of a refusal; default OPTION_TYPE. */
  readonly code?: string
  /** What to add to the refusal of a value, or of the text that spells it. */
  readonly hint?: (value: unknown) => string
}

/** An option that a text can spell. */
export interface OptionRecord<Value = unknown> extends Kind {
  readonly code: string
  /** The names that it takes, if it takes names. */
  readonly names?: readonly string[]
  /** The value that a text spells, which may be one that the option does not take. */
  readonly read: (text: string) => unknown
  /** Never there: it carries the type of the values. */
  readonly value?: Value
}

/** An option that takes one of a few names. */
export interface NameOption<Name extends string> extends OptionRecord<Name> {
  readonly names: readonly Name[]
}

/** What a text cannot spell, or may be anything of its type. */
export const kinds = {
  text: { words: 'text', holds: (value) => typeof value === 'string' },
  flag: { words: 'true or false', holds: (value) => typeof value === 'boolean' },
  call: { words: 'a function', holds: (value) => typeof value === 'function' },
  signal: { words: 'an AbortSignal', holds: (value) => value instanceof AbortSignal },
  ids: { words: 'text or ids', holds: (value) => typeof value === 'string' || isList(value) },
  planner: {
    words: "a planner's name, or an object with its name",
    holds: (value) =>
      typeof value === 'string' || (isObject(value) && 'name' in value && typeof value.name === 'string'),
    hint: (value) =>
      isObject(value) && 'heads' in value && 'neurons' in value ? ': a mask is given back by givenMask' : '',
  },
} satisfies Record<string, Kind>

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i
const digits = /^-?\d+$/

/** The number that a text spells strictly; NaN if none. */
const readNumber = (text: string): number => (decimal.test(text) ? Number(text) : NaN)
const readWhole = (text: string): number => (digits.test(text) ? Number(text) : NaN)

/** A number for which something holds. */
export function numberOption(
  code: string,
  words: string,
  holds: (value: number) => boolean,
  hint?: (value: unknown) => string,
): OptionRecord<number> {
  return { code, words, holds: (value) => typeof value === 'number' && holds(value), read: readNumber, hint }
}

/** A number from `least` to `most`, which is finite. */
export function rangeOption(code: string, least: number, most: number = Infinity): OptionRecord<number> {
  const words = `a number from ${least}${most === Infinity ? '' : ` to ${most}`}`
  return numberOption(code, words, (value) => value >= least && value <= most && value < Infinity)
}

/** A whole number. */
export function wholeOption(code: string, least: number, most: number = Infinity): OptionRecord<number> {
  return {
    code,
    words: `a whole number from ${least}${most === Infinity ? '' : ` to ${most}`}`,
    holds: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    read: readWhole,
  }
}

/** A word, or what another option takes. */
export function orWord<Word extends string, Value>(
  word: Word,
  { words, holds, read, code, hint }: OptionRecord<Value>,
): OptionRecord<Word | Value> {
  return {
    code,
    hint,
    words: `${word} or ${words}`,
    holds: (value) => value === word || holds(value),
    read: (text) => (text === word ? text : read(text)),
  }
}

/** One of a few names. */
export function nameOption<const Name extends string>(
  code: string,
  names: readonly Name[],
): NameOption<Name> {
  return {
    code,
    names,
    words: `one of ${names.join(', ')}`,
    holds: (value) => names.some((name) => name === value),
    read: (text) => text,
    hint: (value) => {
      if (typeof value !== 'string' || value.length > MAX_NAME) return ''
      // A name that is another in each character is none of them.
      const near = nearestName(value, names, Math.min(2, value.length - 1))
      return near === null ? '' : ` (did you mean ${near}?)`
    },
  }
}

/** An object of up to so many entries, for each of which something holds; as text it is JSON. */
export function entriesOption<Value>(
  code: string,
  words: string,
  most: number,
  holds: (entry: [string, unknown]) => boolean,
): OptionRecord<Value> {
  return {
    code,
    words,
    holds: (value) => {
      if (!isObject(value) || Array.isArray(value) || ArrayBuffer.isView(value)) return false
      const entries = Object.entries(value)
      return entries.length <= most && entries.every(holds)
    },
    read: (text) => {
      try {
        return JSON.parse(text) as unknown
      } catch {
        return NaN
      }
    },
  }
}

/** The seed of a generator: 32 bits. */
export const seedOption: OptionRecord<number> = wholeOption('SEED', 0, 2 ** 32 - 1)

/** Refuses a value that an option does not take. @throws UsageError with the code of the option */
export function expectOption(name: string, value: unknown, option: Kind): void {
  if (option.holds(value)) return
  const got = describeValue(value)
  // A name is said as it is.
  throw refusedOption(name, option, 'names' in option ? got.replace(/^the text /, '') : got, value)
}

/**
 * The value that a text spells.
 * @param name of the option, such as that of a flag
 * @throws UsageError with the code of the option
 */
export function readOption<Value>(name: string, text: string, option: OptionRecord<Value>): Value {
  const value = option.read(text)
  if (option.holds(value)) return value as Value
  throw refusedOption(name, option, text === '' ? 'nothing' : text, Number.isNaN(value) ? text : value)
}

function refusedOption(name: string, option: Kind, got: string, value: unknown): UsageError {
  const { code = 'OPTION_TYPE', words, hint } = option
  return new UsageError(code, `${name}: expected ${words}, got ${got}${hint?.(value) ?? ''}`, {
    option: name,
  })
}

/**
 * Checks the options of a call: they are an object, every name is known, and every value is one that its option takes.
 * @throws UsageError OPTIONS if they are no object, OPTION_NAME for an unknown name (with the closest known one), and the codes
 *   of the options
 */
export function checkOptions(options: unknown, known: Readonly<Record<string, Kind>>): void {
  checkOptionNames(options, Object.keys(known))
  for (const [name, value] of Object.entries(options as object))
    if (value !== undefined) expectOption(name, value, known[name])
}
