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
  /** Whether it may not be left out. */
  readonly isRequired?: true
}

/** The kind of every option of a call; a missing one does not type-check, nor one that must be there and is not `required`. */
export type Kinds<Options> = {
  readonly [Name in keyof Options]-?: object extends Pick<Options, Name> ? Kind : Kind & { isRequired: true }
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

/** Whether a value is a list, for each entry of which something holds. */
function isListOf(holds: (entry: unknown) => boolean): (value: unknown) => boolean {
  return (value) => Array.isArray(value) && value.every(holds)
}

const isId = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0

/** What a text cannot spell, or may be anything of its type. */
export const kinds = {
  text: { words: 'text', holds: (value) => typeof value === 'string' },
  path: { words: 'text', holds: (value) => typeof value === 'string', code: 'PATH' },
  flag: { words: 'true or false', holds: (value) => typeof value === 'boolean' },
  call: { words: 'a function', holds: (value) => typeof value === 'function' },
  signal: { words: 'an AbortSignal', holds: (value) => value instanceof AbortSignal },
  number: { words: 'a number', holds: (value) => typeof value === 'number' },
  list: { words: 'a list', holds: (value) => Array.isArray(value) },
  texts: { words: 'a list of texts', holds: isListOf((one) => typeof one === 'string') },
  object: { words: 'an object', holds: (value) => isObject(value) && !isList(value) },
  hash: {
    words: '64 hexadecimal digits',
    holds: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  },
  idList: { words: 'a list of ids', holds: (value) => isList(value) && Array.from(value).every(isId) },
  model: {
    words: 'a loaded model',
    holds: (value) => isObject(value) && 'weights' in value && 'begin' in value,
    hint: (value) =>
      isObject(value) && 'model' in value ? ': that of a ShadowModel is its field model' : '',
  },
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

/** What to add to the refusal of a text with a decimal comma. */
const commaHint = (value: unknown): string =>
  typeof value === 'string' && /^[+-]?\d*,\d+$/.test(value)
    ? ` (with a decimal point: ${value.replace(',', '.')})`
    : ''

/** A number for which something holds. */
export function numberOption(
  code: string,
  words: string,
  holds: (value: number) => boolean,
  hint?: (value: unknown) => string,
): OptionRecord<number> {
  return {
    code,
    words,
    holds: (value) => typeof value === 'number' && holds(value),
    read: readNumber,
    hint: (value) => commaHint(value) || (hint?.(value) ?? ''),
  }
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

/** An option that may not be left out. */
export function required(option: Kind): Kind & { isRequired: true } {
  return { ...option, isRequired: true }
}

/** An option that may also be null. */
export function orNull({ words, holds, code, hint }: Kind): Kind {
  return { code, hint, words: `${words}, or null`, holds: (value) => value === null || holds(value) }
}

/** A list, each entry of which another option takes. @param words of the list */
export function listOption(words: string, entry: Kind, code?: string): Kind {
  return {
    code,
    words,
    holds: isListOf(entry.holds),
    hint: (value) => {
      if (!Array.isArray(value)) return ''
      const place = value.findIndex((one) => !entry.holds(one))
      if (place < 0) return ''
      return `, of which entry ${place} is ${describeValue(value[place])}${entry.hint?.(value[place]) ?? ''}`
    },
  }
}

/**
 * An object with fields of these kinds.
 * @param others whether it may have more fields
 */
export function recordOption<Fields>(
  words: string,
  fields: Kinds<Fields>,
  others: 'open' | 'closed' = 'open',
): Kind {
  const known: Readonly<Record<string, Kind>> = fields
  const fault = (value: object): string => {
    const given = new Map(Object.entries(value))
    const unknown = [...given.keys()].filter((name) => !Object.hasOwn(known, name))
    const valueOf = (name: string): unknown => given.get(name) ?? Reflect.get(value, name)
    const wrong = Object.entries(known).find(([name, kind]) => {
      const one = valueOf(name)
      return one === undefined ? kind.isRequired : !kind.holds(one)
    })
    const meant = (name: string): string | null => nearestName(name, Object.keys(known), 2)
    if (wrong === undefined) {
      if (others === 'open' || unknown.length === 0) return ''
      const near = meant(unknown[0])
      return ` with the unknown field ${unknown[0]}${near === null ? '' : ` (did you mean ${near}?)`}`
    }
    const [name, kind] = wrong
    const one = valueOf(name)
    if (one !== undefined) return ` whose ${name} is ${describeValue(one)}, not ${kind.words}`
    const misspelt = unknown.find((other) => meant(other) === name)
    return ` without ${name}${misspelt === undefined ? '' : ` (did you mean it by ${misspelt}?)`}`
  }
  return {
    words,
    holds: (value) => kinds.object.holds(value) && fault(value as object) === '',
    hint: (value) => (kinds.object.holds(value) ? fault(value as object) : ''),
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
 * Checks the options of a call: they are an object, every name is known, every value is one that its option takes, and none is left out
 * that is required.
 * @param what one of them is called
 * @throws UsageError OPTIONS if they are no object, OPTION_NAME for an unknown name (with the closest known one), and the codes
 *   of the options
 */
export function checkOptions(
  options: unknown,
  known: Readonly<Record<string, Kind>>,
  what: 'option' | 'field' = 'option',
): void {
  checkOptionNames(options, Object.keys(known), what)
  const given = new Map(Object.entries(options as object))
  for (const [name, value] of given) if (value !== undefined) expectOption(name, value, known[name])
  for (const [name, kind] of Object.entries(known))
    if (kind.isRequired && given.get(name) === undefined) expectOption(name, undefined, kind)
}

/** Checks the last arguments of a long call: who is told of its progress, and the signal that ends it. @throws UsageError OPTION_TYPE */
export function expectListener(onProgress: unknown, signal: unknown): void {
  checkOptions({ onProgress, signal }, { onProgress: kinds.call, signal: kinds.signal })
}
