/**
 * Arguments of laws as JSON: written so that they come back equal, typed arrays, the numbers JSON has no word for (NaN,
 * infinities, -0), and drawn data, by what it is made from, included.
 *
 * What cannot come back equal (functions, class instances) is refused rather than written approximately; the bits of a
 * NaN beyond its being NaN are not kept. Equal values are written equally on every engine.
 */
import { isPlain } from '../io/canonical_json.ts'
import { DrawnData, type DataPlan } from './drawn_data.ts'

const arrayTypes = {
  Float32Array,
  Float64Array,
  Int8Array,
  Uint8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
}
type ArrayTypeName = keyof typeof arrayTypes

/** What JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/**
 * A value as JSON, such that `decode` gives an equal one back.
 * @throws TypeError for a value that JSON cannot carry faithfully; the message says where it sits.
 */
export function encode(value: unknown, path = 'value'): Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') {
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? '-0' : String(value) }
  }
  if (typeof value === 'bigint') return { $bigint: String(value) }
  if (value === undefined) return { $undefined: true }
  if (Array.isArray(value)) return value.map((item, i) => encode(item, `${path}[${i}]`))
  if (value instanceof DrawnData) return { $data: encode(value.plan, path) }
  const type = typeof value === 'object' ? Object.prototype.toString.call(value).slice(8, -1) : ''
  if (type in arrayTypes) {
    return { [`$${type}`]: Array.from(value as Float32Array, (item) => encode(item, path)) }
  }
  if (isPlain(value)) {
    const entries = Object.entries(value).map(
      ([key, item]) => [key, encode(item, `${path}.${key}`)] as [string, Json],
    )
    // A key that could be read as one of our tags moves the whole object behind a tag of its own.
    return entries.some(([key]) => key.startsWith('$')) ? { $object: entries } : Object.fromEntries(entries)
  }
  throw new TypeError(`${path}: expected plain data or a typed array, got ${type || `a ${typeof value}`}`)
}

/**
 * The value `encode` was given.
 * @throws TypeError for a tag that `encode` does not write.
 */
export function decode(json: Json): unknown {
  if (json === null || typeof json !== 'object') return json
  if (Array.isArray(json)) return json.map(decode)
  const [key = ''] = Object.keys(json)
  if (!key.startsWith('$'))
    return Object.fromEntries(Object.entries(json).map(([k, item]) => [k, decode(item)]))
  const content = json[key]
  if (key === '$number') return Number(content)
  if (key === '$bigint') return BigInt(content as string)
  if (key === '$undefined') return undefined
  if (key === '$data') return new DrawnData(decode(content) as DataPlan)
  if (key === '$object') {
    return Object.fromEntries((content as [string, Json][]).map(([k, item]) => [k, decode(item)]))
  }
  if (key.slice(1) in arrayTypes) {
    return arrayTypes[key.slice(1) as ArrayTypeName].from(
      (content as Json[]).map((item) => Number(decode(item))),
    )
  }
  throw new TypeError(`${key}: expected a tag that encode writes`)
}
