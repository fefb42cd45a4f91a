/**
 * Canonical JSON (RFC 8785): keys sorted by UTF-16 units, no white space, numbers and strings as in ECMAScript. Equal values
 * have equal texts, so the hash of the text identifies the value.
 */

/** JSON values in plain objects and arrays. */
export type PlainJson =
  | null
  | boolean
  | number
  | string
  | readonly PlainJson[]
  | { readonly [key: string]: PlainJson }

/**
 * The text of a value. Keys whose value is undefined are left out, as in JSON.stringify.
 * @throws TypeError for values outside JSON: NaN, infinities, functions, bytes, text that is not well-formed
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value)
  if (typeof value === 'string' && value.isWellFormed()) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${Array.from(value, canonicalJson).join(',')}]`
  if (isPlain(value)) {
    const keys = Object.keys(value).filter((key) => value[key] !== undefined)
    const entries = keys.sort().map((key) => `${canonicalJson(key)}:${canonicalJson(value[key])}`)
    return `{${entries.join(',')}}`
  }
  const got = typeof value === 'object' ? value?.constructor?.name : String(value)
  throw new TypeError(`canonical JSON: expected a JSON value, got ${got}`)
}

/** Whether a value is an object of no class. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
