/**
 * A strict JSON reader for untrusted files.
 *
 * It is stricter than JSON.parse: it refuses duplicate keys, text that is not well-formed Unicode, a byte order mark, deep
 * nesting, and integers that a number cannot represent exactly. Objects become maps, so that no key can reach a prototype. Time
 * and memory are linear in the file; the recursion is at most `maxDepth` deep.
 */
import { quote, refusal } from './refusal.ts'
import type { ErrorDetails, InputError } from '../tensor/errors.ts'

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonMap
export type JsonMap = Map<string, JsonValue>

/** Options of the reader. */
interface JsonOptions {
  /** The maximal nesting of objects and arrays; default 64. */
  maxDepth?: number
  /**
   * integers: only digits, up to 2^53 - 1 (sizes and offsets). any: every finite JSON number that is exact
   * if it is an integer. rounded: large integers are rounded; transformers writes 10^30 for "no limit".
   */
  numbers?: 'any' | 'integers' | 'rounded'
  /** The maximal number of objects and arrays, which may be shared by several texts; default a million. */
  budget?: JsonBudget
  /** The position of the text in its file; error offsets count from the start of the file. */
  byteOffset?: number
}

/** The remaining number of objects and arrays: each takes a hundred times the memory of its two characters. */
interface JsonBudget {
  readonly max: number
  left: number
}

const MAX_CONTAINERS = 1_000_000

/**
 * Parses one JSON value; only white space may surround it.
 * @param name the name of the text in errors, such as "config.json".
 * @throws InputError JSON_ENCODING, JSON_BOM, JSON_SYNTAX, JSON_DUPLICATE, JSON_DEPTH, JSON_LIMIT, JSON_NUMBER,
 *   JSON_SURROGATE.
 */
export function parseJson(bytes: Uint8Array, name: string, options: JsonOptions = {}): JsonValue {
  const { byteOffset: start = 0 } = options
  const text = decodeText(bytes, name, start)
  // Positions count UTF-16 units; the file counts bytes.
  const refuse: Refuse = (position, code, expected, got) => {
    const byteOffset = start + new TextEncoder().encode(text.slice(0, position)).length
    return refusal(code, `${name} at byte ${byteOffset}`, expected, got, { byteOffset })
  }
  return new JsonReader(text, options, refuse).readAll()
}

/**
 * The text of UTF-8 bytes.
 * @throws InputError JSON_BOM for a byte order mark, JSON_ENCODING for bytes that are not UTF-8.
 */
export function decodeText(bytes: Uint8Array, name: string, byteOffset = 0): string {
  const text = decodeUtf8(bytes)
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
    throw refusal('JSON_BOM', name, 'text without a byte order mark', 'a byte order mark', { byteOffset })
  if (text !== null) return text
  throw refusal('JSON_ENCODING', name, 'UTF-8 text', 'other bytes', { byteOffset })
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of UTF-8 bytes, a byte order mark included; null for other bytes. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}

/** The same value with plain objects, which have no prototype, in place of maps. */
export function toPlain(value: JsonValue): unknown {
  if (Array.isArray(value)) return value.map(toPlain)
  if (!(value instanceof Map)) return value
  const plain: Record<string, unknown> = Object.create(null)
  for (const [key, item] of value) plain[key] = toPlain(item)
  return plain
}

/** Describes a JSON value for error messages. */
export function describeJson(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'string') return `the text ${quote(value)}`
  return Array.isArray(value) ? 'a list' : 'an object'
}

/** The error for a JSON value that is not the expected one. */
export function refuseJson(
  code: string,
  subject: string,
  expected: string,
  value: JsonValue | undefined,
  details?: ErrorDetails,
): InputError {
  const got = describeJson(value)
  return refusal(code, subject, expected, got, details)
}

/** A value that must be an object. @throws InputError of this code for any other value */
export function objectOf(
  value: JsonValue | undefined,
  code: string,
  subject: string,
  details?: ErrorDetails,
): JsonMap {
  if (value instanceof Map) return value
  throw refuseJson(code, subject, 'an object', value, details)
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const NUMBER_GOES_ON = /[-+.0-9A-Za-z_]/y
const HEX = /[0-9A-Fa-f]{4}/y

const ZERO = 0x30
const NINE = 0x39
const SPACE = 0x20
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACE = 0x7b
const BRACKET = 0x5b
const MINUS = 0x2d

const escapes = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

/** The error at a position of the text. */
type Refuse = (position: number, code: string, expected: string, got: string) => InputError

class JsonReader {
  private position = 0
  private depth = 0
  private readonly text: string
  private readonly maxDepth: number
  private readonly integersOnly: boolean
  private readonly rounds: boolean
  private readonly budget: JsonBudget
  private readonly refuseAt: Refuse

  constructor(text: string, options: JsonOptions, refuseAt: Refuse) {
    this.text = text
    this.refuseAt = refuseAt
    this.maxDepth = options.maxDepth ?? 64
    this.integersOnly = options.numbers === 'integers'
    this.rounds = options.numbers === 'rounded'
    this.budget = options.budget ?? { max: MAX_CONTAINERS, left: MAX_CONTAINERS }
  }

  readAll(): JsonValue {
    const value = this.readValue()
    this.skipWhiteSpace()
    if (this.position !== this.text.length) throw this.unexpected('the end')
    return value
  }

  private readValue(): JsonValue {
    this.skipWhiteSpace()
    const start = this.text.charCodeAt(this.position)
    if (start === QUOTE) return this.readString()
    if (start === BRACE || start === BRACKET) {
      this.enter()
      const value = start === BRACE ? this.readObject() : this.readArray()
      this.depth--
      return value
    }
    if (start === MINUS || (start >= ZERO && start <= NINE)) return this.readNumber()
    return this.readWord()
  }

  private enter(): void {
    if (++this.depth > this.maxDepth) {
      throw this.refuse('JSON_DEPTH', `at most ${this.maxDepth} levels`, 'more')
    }
    if (--this.budget.left < 0)
      throw this.refuse('JSON_LIMIT', `at most ${this.budget.max} objects and lists`, 'more')
    this.position++
  }

  private readObject(): JsonMap {
    const map: JsonMap = new Map()
    if (this.accept('}')) return map
    do {
      this.skipWhiteSpace()
      if (this.text[this.position] !== '"') throw this.unexpected('a key')
      const start = this.position
      const key = this.readString()
      if (map.has(key)) {
        this.position = start
        throw this.refuse('JSON_DUPLICATE', `key ${quote(key)} once`, 'it twice')
      }
      if (!this.accept(':')) throw this.unexpected('":"')
      map.set(key, this.readValue())
    } while (this.accept(','))
    if (!this.accept('}')) throw this.unexpected('"," or "}"')
    return map
  }

  private readArray(): JsonValue[] {
    const items: JsonValue[] = []
    if (this.accept(']')) return items
    do items.push(this.readValue())
    while (this.accept(','))
    if (!this.accept(']')) throw this.unexpected('"," or "]"')
    return items
  }

  private readNumber(): number {
    const start = this.position
    let value = this.readDigits()
    // Most numbers are digits alone; the others are read again.
    if (!this.integersOnly && (Number.isNaN(value) || this.goesOn())) {
      this.position = start
      value = this.readDecimal()
    }
    if (Number.isFinite(value) && !this.goesOn()) return value
    this.position = start
    const expected = this.integersOnly ? 'digits, up to 2^53 - 1' : 'a number that can be represented exactly'
    throw this.refuse('JSON_NUMBER', expected, quote(this.text.slice(start, start + 24).split(/[\s,\]}]/)[0]))
  }

  /** Whether what stands here cannot follow a number. */
  private goesOn(): boolean {
    NUMBER_GOES_ON.lastIndex = this.position
    return NUMBER_GOES_ON.test(this.text)
  }

  /** Digits without a leading zero as an exact integer; NaN for anything else. */
  private readDigits(): number {
    const { text, position: start } = this
    let value = 0
    let at = start
    for (; text.charCodeAt(at) >= ZERO && text.charCodeAt(at) <= NINE; at++)
      value = value * 10 + (text.charCodeAt(at) - ZERO)
    this.position = at
    const leadingZero = at > start + 1 && text.charCodeAt(start) === ZERO
    return at === start || leadingZero || !Number.isSafeInteger(value) ? NaN : value
  }

  /** A JSON number; NaN for anything else, and for an integer that would lose digits. */
  private readDecimal(): number {
    const digits = this.match(NUMBER)
    const value = digits === '' ? NaN : Number(digits)
    const isExact = this.rounds || Number.isSafeInteger(value) || !/^-?[0-9]+$/.test(digits)
    return isExact ? value : NaN
  }

  private readString(): string {
    const { text } = this
    let value = ''
    let start = this.position + 1
    let at = start
    for (;;) {
      const mark = text.charCodeAt(at) // NaN past the end
      if (mark === QUOTE) break
      if (mark === BACKSLASH) {
        value += text.slice(start, at)
        this.position = at
        value += this.readEscape()
        start = at = this.position
      } else if (mark >= SPACE) at++
      else {
        this.position = at
        throw this.unexpected("the string's end")
      }
    }
    this.position = at + 1
    return start === at ? value : value + text.slice(start, at)
  }

  private readEscape(): string {
    const mark = this.text[this.position + 1]
    const plain = escapes.get(mark)
    if (plain === undefined && mark !== 'u') throw this.unexpected('an escape sequence of JSON')
    const start = this.position
    this.position += 2
    if (plain !== undefined) return plain
    const first = this.readHex()
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first)
    if (first < 0xdc00 && this.text.startsWith('\\u', this.position)) {
      this.position += 2
      const second = this.readHex()
      if (second >= 0xdc00 && second <= 0xdfff) return String.fromCharCode(first, second)
    }
    this.position = start
    throw this.refuse('JSON_SURROGATE', 'a surrogate pair', 'a lone surrogate')
  }

  private readHex(): number {
    const digits = this.match(HEX)
    if (digits === '') throw this.unexpected('four hexadecimal digits')
    return Number.parseInt(digits, 16)
  }

  private readWord(): null | boolean {
    for (const [word, value] of [
      ['null', null],
      ['true', true],
      ['false', false],
    ] as const) {
      if (this.text.startsWith(word, this.position)) {
        this.position += word.length
        return value
      }
    }
    throw this.unexpected('a value')
  }

  private accept(mark: string): boolean {
    this.skipWhiteSpace()
    if (this.text[this.position] !== mark) return false
    this.position++
    return true
  }

  private skipWhiteSpace(): void {
    const { text } = this
    let at = this.position
    for (; ; at++) {
      const mark = text.charCodeAt(at)
      if (mark > SPACE) break
      if (mark !== SPACE && mark !== 0x0a && mark !== 0x0d && mark !== 0x09) break
    }
    this.position = at
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.position
    const found = pattern.exec(this.text)
    if (found === null) return ''
    this.position += found[0].length
    return found[0]
  }

  private unexpected(expected: string): InputError {
    const here = this.text.codePointAt(this.position)
    const got = here === undefined ? 'the end' : quote(String.fromCodePoint(here))
    return this.refuse('JSON_SYNTAX', expected, got)
  }

  private refuse(code: string, expected: string, got: string): InputError {
    return this.refuseAt(this.position, code, expected, got)
  }
}
