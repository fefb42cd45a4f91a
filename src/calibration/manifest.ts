/**
 * `calibration.json`: what a calibration is of. Written before the first example and never again: the same model, data
 * and settings give the same text, whose SHA-256 is the calibration's identity, and every file beside it carries that.
 *
 * So it holds no date, no path and no time; and formulas, because a criterion that was changed is another one.
 */
import { canonicalJson } from '../io/canonical_json.ts'
import { readWhole } from '../io/files.ts'
import { describeJson, parseJson, type JsonMap, type JsonValue } from '../io/json.ts'
import { quote, refusal } from '../io/refusal.ts'
import type { UnitMask } from '../masks/mask.ts'
import { joinPath, sha256 } from '../platform/platform.ts'
import type { InputError } from '../tensor/errors.ts'
import type { Window } from '../data/windows.ts'

export const manifestName = 'calibration.json'
const format = 'shadowllm-calibration'
const version = 1

/** A criterion as a calibration remembers it. */
export interface NamedFormula {
  readonly name: string
  readonly formula: string
}

/** What a calibration is of. */
export interface CalibrationManifest {
  readonly model: {
    /** SHA-256 of its files. */
    readonly hash: string
    readonly layers: number
    readonly heads: number
    readonly neurons: number
    readonly width: number
  }
  readonly data: {
    readonly name: string
    /** SHA-256 of the windows, see `hashWindows`. */
    readonly hash: string
    /** How many examples there are. */
    readonly windows: number
    /** Genres or tasks, in order of their first window. */
    readonly groups: readonly string[]
  }
  readonly criteria: readonly NamedFormula[]
  readonly datasetCriteria: readonly NamedFormula[]
  readonly seed: number
  /** Whether what layer 0 shows of every prompt token was kept. */
  readonly keepSequence: boolean
  /** SHA-256 of the mask the passes ran under, see `hashMask`; null for none. */
  readonly mask: string | null
  /** Examples in a shard; the last one may have fewer. */
  readonly shardExamples: number
}

/** A manifest and the text it stands in. */
export interface StoredManifest {
  readonly manifest: CalibrationManifest
  readonly text: string
  /** SHA-256 of the text. */
  readonly identity: string
}

/** The text of a manifest: one value on a line, so that a person can read it. */
export async function storeManifest(manifest: CalibrationManifest): Promise<StoredManifest> {
  const fields = Object.entries({ format, version, ...manifest })
  const lines = fields.map(([key, value]) => `  ${canonicalJson(key)}: ${canonicalJson(value)}`)
  const text = `{\n${lines.join(',\n')}\n}\n`
  return { manifest, text, identity: await hashText(text) }
}

/**
 * One hash for what the numbers of a calibration depend on: tokens, how many of them are the prompt, and the group.
 * @returns 64 hexadecimal digits
 */
export function hashWindows(windows: readonly Window[]): Promise<string> {
  const lines = windows.map(({ tokens, promptLength, genre }) =>
    canonicalJson([genre, promptLength, [...tokens]]),
  )
  return hashText(lines.join('\n'))
}

/** One hash for a mask. @returns 64 hexadecimal digits */
export function hashMask({ heads, neurons }: UnitMask): Promise<string> {
  return hashText(canonicalJson([[...heads], [...neurons]]))
}

function hashText(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text))
}

/**
 * Refuses a calibration that is not the one asked for.
 * @throws InputError CALIBRATION_DIFFERS, naming the first field that differs
 */
export function checkSame(found: CalibrationManifest, asked: CalibrationManifest, path: string): void {
  for (const [name, one, other] of fieldsOf(found, asked)) {
    const [got, expected] = [canonicalJson(one), canonicalJson(other)]
    if (got === expected) continue
    throw refusal('CALIBRATION_DIFFERS', `${path} ${name}`, `${shown(expected)}, as asked for`, shown(got))
  }
}

/** Values in pairs, those inside an object one by one; of criteria names first, which say more than formulas. */
function* fieldsOf(a: CalibrationManifest, b: CalibrationManifest): Generator<[string, unknown, unknown]> {
  for (const key of ['criteria', 'datasetCriteria'] as const)
    yield [key, a[key].map(({ name }) => name), b[key].map(({ name }) => name)]
  for (const key of Object.keys(b) as (keyof CalibrationManifest)[]) {
    const [one, other] = [a[key], b[key]]
    if (typeof other !== 'object' || other === null || Array.isArray(other)) yield [key, one, other]
    else
      for (const inner of Object.keys(other))
        yield [
          `${key}.${inner}`,
          (one as Readonly<Record<string, unknown>>)[inner],
          (other as Readonly<Record<string, unknown>>)[inner],
        ]
  }
}

/** JSON from a file, safe inside a message. */
function shown(text: string): string {
  return quote(text).slice(1, -1).replaceAll('\\"', '"')
}

/**
 * The manifest in a calibration's folder.
 * @throws InputError CALIBRATION_FORMAT for anything but a manifest, FILE_MISSING and others of `readWhole`, JSON_*
 */
export async function readManifest(folder: string): Promise<StoredManifest> {
  const path = joinPath(folder, manifestName)
  return parseStored(await readWhole(path), path)
}

/**
 * The manifest that a text is.
 * @param path what it is called in errors
 * @throws InputError CALIBRATION_FORMAT, JSON_*
 */
export async function parseStored(bytes: Uint8Array, path: string): Promise<StoredManifest> {
  const manifest = parseManifest(parseJson(bytes, path), path)
  const text = new TextDecoder().decode(bytes)
  return { manifest, text, identity: await hashText(text) }
}

/** The most examples, layers or units that are believed; what a file claims must not become memory. */
const LARGEST = 2 ** 24

function parseManifest(json: JsonValue, path: string): CalibrationManifest {
  const top = new Fields(json, path)
  if (top.text('format', 100) !== format || top.whole('version', 0) !== version)
    throw top.refuse('format', `${format} of version ${version}`, json)
  const model = top.inner('model')
  const data = top.inner('data')
  return {
    model: {
      hash: model.hash('hash'),
      layers: model.whole('layers', 1),
      heads: model.whole('heads', 1),
      neurons: model.whole('neurons', 1),
      width: model.whole('width', 1),
    },
    data: {
      name: data.text('name', 1000),
      hash: data.hash('hash'),
      windows: data.whole('windows', 1),
      groups: data.distinct('groups', (value) => value),
    },
    criteria: top.formulas('criteria'),
    datasetCriteria: top.formulas('datasetCriteria'),
    seed: top.whole('seed', 0, 2 ** 32 - 1),
    keepSequence: top.flag('keepSequence'),
    mask: top.hashOrNull('mask'),
    shardExamples: top.whole('shardExamples', 1),
  }
}

/** Fields of an object nobody vouches for. */
class Fields {
  readonly #values: JsonMap
  readonly #subject: string

  constructor(json: JsonValue | undefined, subject: string) {
    if (!(json instanceof Map)) throw refusal('CALIBRATION_FORMAT', subject, 'an object', describeJson(json))
    this.#values = json
    this.#subject = subject
  }

  refuse(field: string, expected: string, got: JsonValue | undefined): InputError {
    return refusal('CALIBRATION_FORMAT', `${this.#subject} ${field}`, expected, describeJson(got))
  }

  inner(field: string): Fields {
    return new Fields(this.#values.get(field), `${this.#subject} ${field}`)
  }

  text(field: string, most: number): string {
    const value = this.#values.get(field)
    if (typeof value === 'string' && value !== '' && value.length <= most) return value
    throw this.refuse(field, `text of 1 to ${most} characters`, value)
  }

  hash(field: string): string {
    const value = this.#values.get(field)
    if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value
    throw this.refuse(field, '64 hexadecimal digits', value)
  }

  hashOrNull(field: string): string | null {
    return this.#values.get(field) === null ? null : this.hash(field)
  }

  whole(field: string, least: number, most: number = LARGEST): number {
    const value = this.#values.get(field)
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw this.refuse(field, `a whole number from ${least} to ${most}`, value)
  }

  flag(field: string): boolean {
    const value = this.#values.get(field)
    if (typeof value === 'boolean') return value
    throw this.refuse(field, 'true or false', value)
  }

  /** A list without doubles. */
  distinct(field: string, read: (value: JsonValue) => JsonValue | undefined): string[] {
    const list = this.#values.get(field)
    if (!Array.isArray(list)) throw this.refuse(field, 'a list', list)
    const names = list.map((item) => {
      const name = read(item)
      if (typeof name === 'string') return name
      throw this.refuse(field, 'names', item)
    })
    if (new Set(names).size === names.length) return names
    throw this.refuse(field, 'names that differ', list)
  }

  /** Criteria, whose names become names of tensors. */
  formulas(field: string): NamedFormula[] {
    const entry = (item: JsonValue, key: string): JsonValue | undefined =>
      item instanceof Map ? item.get(key) : undefined
    const names = this.distinct(field, (item) => entry(item, 'name'))
    const list = this.#values.get(field) as JsonValue[]
    return names.map((name, i) => {
      const formula = entry(list[i], 'formula')
      if (/^[a-z0-9][a-z0-9-]{0,63}$/.test(name) && typeof formula === 'string') return { name, formula }
      throw this.refuse(field, 'criteria with a name and a formula', list[i])
    })
  }
}
