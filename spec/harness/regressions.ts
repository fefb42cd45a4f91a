/**
 * The memory of the law book: shrunk counterexamples, kept as JSON under fixtures/regressions.
 *
 * One file per law: `{ law, examples }`, an example being the list of the law's arguments. Values are written so
 * that they come back equal, typed arrays and the numbers JSON has no word for (NaN, infinities, -0) included.
 * What cannot come back equal (functions, class instances) is refused rather than written approximately; the bits
 * of a NaN beyond its being NaN are not kept.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where counterexamples live. */
export const regressionsFolder: string = fileURLToPath(new URL('../../fixtures/regressions', import.meta.url))

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

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

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
  const type = typeof value === 'object' ? Object.prototype.toString.call(value).slice(8, -1) : ''
  if (type in arrayTypes) {
    return { [`$${type}`]: Array.from(value as Float32Array, (item) => encode(item, path)) }
  }
  if (typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    const entries = Object.entries(value).map(([key, item]): [string, Json] => [
      key,
      encode(item, `${path}.${key}`),
    ])
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

/** A law's name as a file name: lower case, words joined by dashes. */
export function slug(name: string): string {
  return name
    .toLowerCase()
    .replace(/\.spec\.ts/g, '')
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 150)
}

interface Page {
  law: string
  examples: Json[][]
}

function readPage(file: string): Page | null {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Page) : null
}

/** The stored counterexamples of a law, the newest first; none if the file does not exist. */
export function readRegressions(file: string): unknown[][] {
  return (readPage(file)?.examples ?? []).map((example) => example.map(decode))
}

/**
 * Puts a counterexample at the front of the law's file, unless it is there already.
 * @throws TypeError if it cannot be stored faithfully; the file is then left as it was.
 */
export function writeRegression(file: string, law: string, counterexample: readonly unknown[]): void {
  const example = counterexample.map((value, i) => encode(value, `argument ${i}`))
  const known = readPage(file)?.examples ?? []
  if (known.some((other) => JSON.stringify(other) === JSON.stringify(example))) return
  mkdirSync(dirname(file), { recursive: true })
  const page: Page = { law, examples: [example, ...known] }
  writeFileSync(file, JSON.stringify(page, null, 1) + '\n')
}
