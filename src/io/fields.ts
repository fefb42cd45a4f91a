/**
 * The fields of a JSON object out of a file, each read as what it must be: a file is nobody's word.
 */
import { InputError } from '../tensor/errors.ts'
import { describeJson, parseJson, type JsonMap, type JsonValue } from './json.ts'

/** What errors say of an object: their code, and what the object is called. */
export interface FieldsName {
  readonly code: string
  readonly subject: string
}

/** An object of a file. What has a fallback may be missing; fields nobody asks for are passed over. */
export class Fields {
  readonly #map: JsonMap
  readonly #name: FieldsName

  constructor(map: JsonMap, name: FieldsName) {
    this.#map = map
    this.#name = name
  }

  /**
   * Reads JSON text that is to be an object.
   * @throws InputError with the name's code if it is missing or no object; JSON_*
   */
  static parse(text: string | undefined, name: FieldsName): Fields {
    const { code, subject } = name
    if (text === undefined)
      throw new InputError(code, `${subject}: expected a card in the metadata, got none`)
    const value = parseJson(new TextEncoder().encode(text), subject)
    if (value instanceof Map) return new Fields(value, name)
    throw new Fields(new Map(), name).refuse('card', 'an object', value)
  }

  /** An object within. */
  fields(name: string): Fields {
    const value = this.#map.get(name)
    if (value instanceof Map) return new Fields(value, this.#name)
    throw this.refuse(name, 'an object', value)
  }

  whole(name: string, least: number, most: number, fallback?: number): number {
    const value = this.#map.get(name) ?? fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw this.refuse(name, `a whole number from ${least} to ${most}`, value)
  }

  /** A whole number, or null where it is null or missing. */
  wholeOrNull(name: string, least: number, most: number): number | null {
    return (this.#map.get(name) ?? null) === null ? null : this.whole(name, least, most)
  }

  oneOf<Name extends string>(name: string, names: readonly Name[], fallback?: Name): Name {
    const value = this.#map.get(name) ?? fallback
    const known = names.find((one) => one === value)
    if (known !== undefined) return known
    throw this.refuse(name, names.join(' or '), value)
  }

  /** Shares in (0, 1). */
  shares(name: string, fallback?: readonly number[]): number[] {
    const value = this.#map.get(name) ?? (fallback && [...fallback])
    const isShare = (share: JsonValue): share is number => typeof share === 'number' && share > 0 && share < 1
    if (Array.isArray(value) && value.every(isShare)) return value
    throw this.refuse(name, 'a list of shares between 0 and 1', value)
  }

  /** A number of at least `least` and at most `most`. */
  number(name: string, least: number, most: number): number {
    const value = this.#map.get(name)
    if (typeof value === 'number' && value >= least && value <= most) return value
    throw this.refuse(name, `a number from ${least} to ${most}`, value)
  }

  /** A number, or null where it is null or missing. */
  numberOrNull(name: string, least: number, most: number): number | null {
    return (this.#map.get(name) ?? null) === null ? null : this.number(name, least, most)
  }

  /** A list of texts. */
  texts(name: string): string[] {
    const value = this.#map.get(name)
    if (Array.isArray(value) && value.every((text): text is string => typeof text === 'string')) return value
    throw this.refuse(name, 'a list of texts', value)
  }

  text(name: string, expected: string): string {
    const value = this.#map.get(name)
    if (typeof value === 'string') return value
    throw this.refuse(name, expected, value)
  }

  textOrNull(name: string, expected: string): string | null {
    const value = this.#map.get(name) ?? null
    return value === null ? null : this.text(name, expected)
  }

  /** The error of a field that is not what it must be. */
  refuse(field: string, expected: string, got: JsonValue | undefined): InputError {
    const { code, subject } = this.#name
    return new InputError(code, `${subject}.${field}: expected ${expected}, got ${describeJson(got)}`)
  }
}
