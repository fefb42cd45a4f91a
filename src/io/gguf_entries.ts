/**
 * The entries of a GGUF file by key, typed. A key that is missing, or has another type, is refused by name.
 */
import { describeGguf, type GgufNumbers, type GgufValue } from './gguf.ts'
import { quote, refusal } from './refusal.ts'

/** Reads entries. */
export class GgufEntries {
  readonly #entries: ReadonlyMap<string, GgufValue>
  readonly #file: string

  /** @param file its name, for errors */
  constructor(entries: ReadonlyMap<string, GgufValue>, file: string) {
    this.#entries = entries
    this.#file = file
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** Texts by key, for those keys that begin so. */
  textsBelow(start: string): Map<string, string> {
    const found = new Map<string, string>()
    for (const [key, value] of this.#entries)
      if (key.startsWith(start) && typeof value === 'string') found.set(key, value)
    return found
  }

  /** A whole number from 0 on. @throws InputError GGUF_ENTRY */
  whole(key: string): number {
    const value = this.#entries.get(key)
    const number = typeof value === 'bigint' ? Number(value) : value
    // Adding 0 makes 0 of -0.
    if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number + 0
    throw this.#refuse(key, 'a whole number')
  }

  /** A number; one of float32 is the shortest decimal that rounds to it, so that 1e-5 is 1e-5. @throws InputError GGUF_ENTRY */
  number(key: string): number {
    const value = this.#entries.get(key)
    if (typeof value !== 'number') throw this.#refuse(key, 'a number')
    return shortestDecimal(value)
  }

  /** @throws InputError GGUF_ENTRY */
  flag(key: string, otherwise: boolean): boolean {
    const value = this.#entries.get(key) ?? otherwise
    if (typeof value === 'boolean') return value
    throw this.#refuse(key, 'true or false')
  }

  /** @throws InputError GGUF_ENTRY */
  text(key: string): string {
    const value = this.#entries.get(key)
    if (typeof value === 'string') return value
    throw this.#refuse(key, 'text')
  }

  /** One of a few texts. @throws InputError GGUF_UNSUPPORTED, GGUF_ENTRY */
  oneOf<const Name extends string>(key: string, names: readonly Name[]): Name {
    const value = this.text(key)
    const found = names.find((name) => name === value)
    if (found !== undefined) return found
    throw this.#refuse(key, names.join(' or '), 'GGUF_UNSUPPORTED')
  }

  /** @throws InputError GGUF_ENTRY */
  texts(key: string): readonly string[] {
    const value = this.#entries.get(key)
    if (Array.isArray(value)) return value as readonly string[]
    throw this.#refuse(key, 'a list of texts')
  }

  /** Numbers, as many as said. @throws InputError GGUF_ENTRY */
  numbers(key: string, count: number): Exclude<GgufNumbers, BigUint64Array | BigInt64Array> {
    const value = this.#entries.get(key)
    const isNumbers =
      ArrayBuffer.isView(value) && !(value instanceof BigUint64Array) && !(value instanceof BigInt64Array)
    if (isNumbers && value.length === count) return value
    throw this.#refuse(key, `a list of ${count} numbers`)
  }

  /** A whole number from 1 for each of so many, or one for all of at most `most`. @throws InputError GGUF_ENTRY */
  wholeOrEach(key: string, count: number, most: number): readonly number[] {
    if (count > most) throw this.#refuse(key, `at most ${most} numbers`)
    const each = ArrayBuffer.isView(this.#entries.get(key))
      ? [...this.numbers(key, count)]
      : Array.from({ length: count }, () => this.whole(key))
    if (each.every((number) => Number.isSafeInteger(number) && number > 0)) return each
    throw this.#refuse(key, 'whole numbers from 1')
  }

  /** Refuses a key whose value is another one, unless it is missing. @throws InputError GGUF_UNSUPPORTED */
  expect(key: string, expected: number | boolean | string): void {
    const value = this.#entries.get(key)
    const found = typeof value === 'bigint' ? Number(value) : value
    if (found !== undefined && found !== expected)
      throw this.#refuse(key, describeGguf(expected), 'GGUF_UNSUPPORTED')
  }

  #refuse(key: string, expected: string, code = 'GGUF_ENTRY'): Error {
    const value = this.#entries.get(key)
    return refusal(code, `${this.#file} ${quote(key)}`, expected, describeGguf(value))
  }
}

function shortestDecimal(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}
