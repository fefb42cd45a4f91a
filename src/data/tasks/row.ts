/**
 * The fields of a row, which is untrusted input: a field that the task cannot use is an error that names file, line and
 * field.
 */
import { describeJson, type JsonMap, type JsonValue } from '../../io/json.ts'
import type { PlacedRow } from '../../io/row_file.ts'
import { InputError } from '../../tensor/errors.ts'
import { quote } from '../../tensor/quote.ts'

/** The maximal number of choices or answers; a prompt letters them, and each is scored. */
const MAX_CHOICES = 26
/** The number of values that a refusal names. */
const MAX_SHOWN = 8

/** Reads the fields of one row. */
export class RowReader {
  readonly place: string
  readonly #values: JsonMap

  constructor({ place, values }: PlacedRow) {
    this.place = place
    this.#values = values
  }

  has(field: string): boolean {
    return (this.#values.get(field) ?? null) !== null
  }

  /** Text with something besides white space in it. @throws InputError TASK_ROW */
  text(field: string): string {
    const value = this.#values.get(field)
    if (typeof value === 'string' && value.trim() !== '') return value
    throw this.refuse(field, 'text', value)
  }

  /** Any text, the empty one too. @throws InputError TASK_ROW */
  anyText(field: string): string {
    const value = this.#values.get(field)
    if (typeof value === 'string') return value
    throw this.refuse(field, 'text', value)
  }

  /** At least two texts. @throws InputError TASK_ROW */
  texts(field: string): string[] {
    return this.#texts(field, this.#values.get(field))
  }

  /** A whole number below `limit`, as a number or as its digits. @throws InputError TASK_ROW */
  index(field: string, limit: number): number {
    const value = this.#values.get(field)
    const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
    if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number < limit) return number
    throw this.refuse(field, `a whole number from 0 to ${limit - 1}`, value)
  }

  /** Which of the values a field has. @param value of the field, trimmed @throws InputError TASK_ROW */
  oneOf(
    field: string,
    values: readonly JsonValue[],
    value: JsonValue = this.#values.get(field) ?? null,
  ): number {
    const found = values.indexOf(value)
    if (found >= 0) return found
    const shown = values.slice(0, MAX_SHOWN).map(spelled)
    const expected = [...shown, ...(values.length > MAX_SHOWN ? ['others'] : [])].join(' or ')
    throw this.refuse(field, expected, this.#values.get(field))
  }

  /**
   * Choices and their labels: `{ text: [...], label: [...] }` as on the hub, or a list of texts labelled A, B, C.
   * @throws InputError TASK_ROW
   */
  choices(field: string): { texts: string[]; labels: string[] } {
    const value = this.#values.get(field)
    if (Array.isArray(value)) {
      const texts = this.#texts(field, value)
      return { texts, labels: texts.map((_, i) => String.fromCharCode(65 + i)) }
    }
    if (!(value instanceof Map)) throw this.refuse(field, 'choices', value)
    const texts = this.#texts(`${field}.text`, value.get('text'))
    const labels = this.#texts(`${field}.label`, value.get('label'))
    if (labels.length !== texts.length)
      throw this.refuse(`${field}.label`, `${texts.length} labels`, `${labels.length} of them`)
    return { texts, labels }
  }

  /** An error about this row. `got` is a value of it, or words. */
  refuse(field: string, expected: string, got: JsonValue | undefined): InputError {
    const words = describeJson(got)
    return new InputError('TASK_ROW', `${this.place}: field ${field}: expected ${expected}, got ${words}`)
  }

  #texts(field: string, value: JsonValue | undefined): string[] {
    if (!Array.isArray(value) || value.length < 2)
      throw this.refuse(field, 'a list of two texts or more', value)
    if (value.length > MAX_CHOICES)
      throw new InputError(
        'TASK_ROW',
        `${this.place}: field ${field}: expected at most ${MAX_CHOICES} texts, got ${value.length}`,
      )
    return value.map((item, i) => {
      if (typeof item === 'string' && item.trim() !== '') return item
      throw this.refuse(`${field}[${i}]`, 'text', item)
    })
  }
}

/** A value in an error message; labels of choices are untrusted. */
function spelled(value: JsonValue): string {
  const text = String(value)
  return /^\w{1,20}$/.test(text) ? text : quote(text.slice(0, 20))
}
