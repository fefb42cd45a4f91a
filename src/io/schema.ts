/**
 * Checks the project's own JSON (configs, manifests, certificates, jobs) against valibot schemas. The input is untrusted: a check
 * returns only the keys of the schema, stops at the first fault, and runs no generated code.
 *
 * The message of a schema is what it expects. `checkSchema` makes "subject path: expected X, got Y" of it; `expectedWords` gives
 * the words for types without a message.
 */
import * as v from 'valibot'
import { describeJson, parseJson, toPlain, type JsonValue } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { InputError, type UsageError } from '../tensor/errors.ts'
import { kinds, rangeOption, seedOption, wholeOption, type OptionRecord } from '../tensor/option.ts'

/** Of a key of an object, if it has its own: the code of its refusal, and what to add to it for a value. */
export type KeyAbout = (key: unknown) => Partial<Pick<OptionRecord, 'code' | 'hint'>>

/** The error for a value that does not fit. */
export interface SchemaSubject {
  readonly code: string
  readonly of?: KeyAbout
  /** The name of the value in the message; empty for options, whose names suffice. */
  readonly subject: string
  /** InputError unless given. */
  readonly error?: typeof InputError | typeof UsageError
}

/**
 * Checks a value; returns it without the keys that the schema does not name.
 * @param value plain JSON, such as `toPlain` returns
 * @throws InputError or UsageError with the code of the subject, naming the first part that does not fit
 */
export function checkSchema<Output>(
  schema: v.GenericSchema<unknown, Output>,
  value: unknown,
  about: SchemaSubject,
): Output {
  const result = v.safeParse(schema, value, { abortEarly: true, message: expectedWords })
  if (result.success) return result.output
  throw refused(schema, value, about, result.issues[0])
}

/** The refusal of a value. @throws Error for a schema that takes nothing without being optional */
function refused(
  schema: v.GenericSchema,
  value: unknown,
  about: SchemaSubject,
  issue: v.BaseIssue<unknown>,
  isFilled = false,
): Error {
  const path = issue.path ?? []
  const last = path.at(-1)
  const refuse = (place: readonly v.IssuePathItem[], expected: string, got: string): Error => {
    const words = [about.subject, place.map(({ key }) => keyWords(key)).join('.')].filter(
      (part) => part !== '',
    )
    const [first] = place
    const { error = InputError } = about
    const { code = about.code, hint } = about.of?.(first?.key) ?? {}
    const message = `${words.join(' ')}: expected ${expected}, got ${got}${(first && hint?.(first.value)) ?? ''}`
    return new error(code, message, { option: first && keyWords(first.key) })
  }
  if (last?.origin !== 'key')
    return refuse(path, issue.message, describeJson((last ? last.value : issue.input) as JsonValue))
  const { key, input: holder } = last
  const place = path.slice(0, -1)
  if (Array.isArray(holder)) return refuse(place, 'an object', describeJson(holder as JsonValue))
  // A key that is there and is a fault itself is one that a strict schema does not name.
  if (Object.hasOwn(holder as object, key as string))
    return refuse(place, issue.message, `the key ${keyWords(key)}`)
  // valibot reports a missing key without what it expects; the schema of the key says it for undefined.
  const filled = withKey(value, path)
  const again = v.safeParse(schema, filled, { abortEarly: true, message: expectedWords })
  if (isFilled || again.success)
    throw new Error(`schema of ${keyWords(key)}: it takes nothing, but is not optional`)
  return refused(schema, filled, about, again.issues[0], true)
}

/** A copy of a value with undefined at a path. */
function withKey(value: unknown, [{ key }, ...rest]: readonly v.IssuePathItem[]): unknown {
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>
  copy[key as string] = rest.length === 0 ? undefined : withKey(copy[key as string], rest)
  return copy
}

/**
 * The same for JSON text.
 * @param text a metadata entry of a file; undefined if the file lacks it
 * @throws InputError as `checkSchema`, JSON_*
 */
export function parseBySchema<Output>(
  schema: v.GenericSchema<unknown, Output>,
  text: string | undefined,
  about: SchemaSubject,
): Output {
  if (text === undefined) throw refusal(about.code, about.subject, 'a metadata entry', 'none')
  return checkSchema(schema, toPlain(parseJson(new TextEncoder().encode(text), about.subject)), about)
}

const typeWords: Readonly<Record<string, string>> = {
  Object: 'an object',
  Array: 'a list',
  string: 'text',
  boolean: 'true or false',
  number: 'a number',
  never: 'nothing',
}

/** What a schema without a message expects: `("a" | "b")` becomes `a or b`. */
function expectedWords({ expected }: v.BaseIssue<unknown>): string {
  const text = expected ?? 'another value'
  return typeWords[text] ?? text.replaceAll(/[()"]| \| undefined/g, '').replaceAll(' | ', ' or ')
}

/** A key in a message; keys of records are untrusted. */
function keyWords(key: unknown): string {
  const text = String(key)
  return /^[\w-]{1,64}$/.test(text) ? text : quote(text)
}

/** A value for which a check holds. @param words what is expected, in an error */
export function valueThat<Value>(
  holds: (value: unknown) => boolean,
  words: string,
): v.GenericSchema<Value, Value> {
  return v.custom<Value>(holds, words)
}

/** The numbers that an option takes. A refusal has the code of the schema's subject. */
function valueOf(option: Pick<OptionRecord, 'holds' | 'words'>): v.GenericSchema<number> {
  return unsignedZero(valueThat(option.holds, option.words))
}

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): v.GenericSchema<number> {
  return valueOf(wholeOption('VALUE', min, max))
}

/** A number from `min` to `max`. */
export function numberBetween(min: number, max: number): v.GenericSchema<number> {
  return valueOf(rangeOption('VALUE', min, max))
}

/** The same with 0 for -0, which is another spelling of it. */
function unsignedZero(schema: v.GenericSchema<number>): v.GenericSchema<number> {
  const unsigned = v.transform((value: number) => value + 0)
  return v.pipe(schema, unsigned)
}

/** The seed of a generator: 32 bits. */
export const seedNumber: v.GenericSchema<number> = valueOf(seedOption)

/** A SHA-256: 64 hexadecimal digits. */
export const sha256Text: v.GenericSchema<string> = valueThat(kinds.hash.holds, kinds.hash.words)
