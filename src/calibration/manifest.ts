/**
 * `calibration.json`, the manifest of a calibration: its model, data and settings. It is written once, before the first example; a
 * folder with another manifest is refused. The same model, data and settings give the same text, whose SHA-256 is the identity of
 * the calibration; every file of the calibration carries it.
 *
 * Therefore it contains no date, path or duration. It contains the formulas of criteria, because a changed criterion is a
 * different one.
 */
import * as v from 'valibot'
import { canonicalJson } from '../io/canonical_json.ts'
import { readWhole } from '../io/files.ts'
import { parseJson, toPlain } from '../io/json.ts'
import { quote, refusal } from '../io/refusal.ts'
import { checkSchema, seedNumber, sha256Text, wholeNumber } from '../io/schema.ts'
import type { UnitMask, UnitShape } from '../masks/mask.ts'
import {
  exists,
  joinPath,
  list,
  makeFolder,
  removeAbandoned,
  sha256,
  writeFileAtomic,
} from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Window } from '../data/windows.ts'
import type { FeatureWidths } from '../engine/config.ts'

export const manifestName = 'calibration.json'
const format = 'shadowllm-calibration'
const version = 1

/** The name and the formula of a criterion. */
export interface NamedFormula {
  readonly name: string
  readonly formula: string
}

/** The content of a manifest. */
export interface CalibrationManifest {
  readonly model: UnitShape &
    FeatureWidths & {
      /** SHA-256 of its files. */
      readonly hash: string
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
  /** Whether the layer-0 features of every prompt token were kept. */
  readonly keepSequence: boolean
  /** SHA-256 of the mask the passes ran under, see `hashMask`; null for none. */
  readonly mask: string | null
  /** Examples per file; the last file may have fewer. */
  readonly shardExamples: number
}

/** A manifest without the number of examples per file. */
export type DescribedCalibration = Omit<CalibrationManifest, 'shardExamples'>

/** A manifest and its text. */
export interface StoredManifest {
  readonly manifest: CalibrationManifest
  readonly text: string
  /** SHA-256 of the text. */
  readonly identity: string
}

/** The settings and the data that a manifest describes. */
interface CalibrationContent extends Omit<DescribedCalibration, 'data' | 'mask'> {
  /** The name of the source of the windows. */
  readonly source: string
  readonly windows: readonly Window[]
  readonly mask: UnitMask | null
}

/** Describes a calibration, whose windows and mask stand in the manifest as hashes. */
export async function describeCalibration(content: CalibrationContent): Promise<DescribedCalibration> {
  const { model, source, windows, criteria, datasetCriteria, seed, keepSequence, mask } = content
  const named = ({ name, formula }: NamedFormula): NamedFormula => ({ name, formula })
  return {
    model,
    data: {
      name: source,
      hash: await hashWindows(windows),
      windows: windows.length,
      groups: [...new Set(windows.map(({ genre }) => genre))],
    },
    criteria: criteria.map(named),
    datasetCriteria: datasetCriteria.map(named),
    seed,
    keepSequence,
    mask: mask && (await hashMask(mask)),
  }
}

/** The text of a manifest: one value on a line, so that a person can read it. */
export async function storeManifest(manifest: CalibrationManifest): Promise<StoredManifest> {
  const fields = Object.entries({ format, version, ...manifest })
  const lines = fields.map(([key, value]) => `  ${canonicalJson(key)}: ${canonicalJson(value)}`)
  const text = `{\n${lines.join(',\n')}\n}\n`
  return { manifest, text, identity: await sha256(text) }
}

/**
 * One hash of the data that the numbers of a calibration depend on: tokens, prompt lengths and groups.
 * @returns 64 hexadecimal digits
 */
export function hashWindows(windows: readonly Window[]): Promise<string> {
  const lines = windows.map(({ tokens, promptLength, genre }) =>
    canonicalJson([genre, promptLength, [...tokens]]),
  )
  return sha256(lines.join('\n'))
}

/** One hash for a mask. @returns 64 hexadecimal digits */
export function hashMask({ heads, neurons }: UnitMask): Promise<string> {
  return sha256(canonicalJson([[...heads], [...neurons]]))
}

/**
 * Refuses a folder that contains other files than a calibration. A missing folder is accepted.
 * @throws UsageError OUTPUT
 */
export async function checkCalibrationFolder(folder: string): Promise<void> {
  if (!(await exists(folder)) || (await exists(joinPath(folder, manifestName)))) return
  // A temporary file of a manifest is not another file.
  if ((await list(folder)).every((name) => name.endsWith('.tmp'))) return
  throw new UsageError(
    'OUTPUT',
    `${folder}: expected an empty folder or a calibration, got a folder with other files`,
  )
}

/**
 * Creates a folder with a manifest, or checks that the manifest in it is equal. Abandoned temporary files are removed.
 * @throws UsageError OUTPUT; InputError CALIBRATION_DIFFERS, naming the first field that differs, CALIBRATION_FORMAT
 */
export async function claimFolder(folder: string, stored: StoredManifest): Promise<void> {
  await checkCalibrationFolder(folder)
  await makeFolder(folder)
  await removeAbandoned(folder)
  const path = joinPath(folder, manifestName)
  if (await exists(path)) {
    const found = await readManifest(folder)
    checkSame(found.manifest, stored.manifest, path)
    if (found.identity === stored.identity) return
  }
  await writeFileAtomic(path, stored.text)
}

function checkSame(found: CalibrationManifest, asked: CalibrationManifest, path: string): void {
  for (const [name, one, other] of fieldsOf(found, asked)) {
    const [got, expected] = [canonicalJson(one), canonicalJson(other)]
    if (got === expected) continue
    throw refusal(
      'CALIBRATION_DIFFERS',
      `${path} ${name}`,
      `${shown(expected)}, as asked for`,
      `${shown(got)}; another calibration needs another folder`,
    )
  }
}

/**
 * Pairs of values, those of objects one by one. What a person recognises comes first: names of criteria before formulas, the
 * name and the number of windows before their hash, which differs with either.
 */
function* fieldsOf(a: CalibrationManifest, b: CalibrationManifest): Generator<[string, unknown, unknown]> {
  for (const key of ['criteria', 'datasetCriteria'] as const)
    yield [key, a[key].map(({ name }) => name), b[key].map(({ name }) => name)]
  for (const key of ['name', 'windows'] as const) yield [`data.${key}`, a.data[key], b.data[key]]
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
 * @throws InputError CALIBRATION_FORMAT for an invalid manifest, FILE_MISSING and others of `readWhole`, JSON_*
 */
export async function readManifest(folder: string): Promise<StoredManifest> {
  const path = joinPath(folder, manifestName)
  return parseStored(await readWhole(path), path)
}

/**
 * Parses a manifest.
 * @param path its name in errors
 * @throws InputError CALIBRATION_FORMAT, JSON_*
 */
export async function parseStored(bytes: Uint8Array, path: string): Promise<StoredManifest> {
  const about = { code: 'CALIBRATION_FORMAT', subject: path }
  const stored = checkSchema(manifestSchema, toPlain(parseJson(bytes, path)), about)
  const { format: _format, version: _version, ...manifest } = stored
  const text = new TextDecoder().decode(bytes)
  return { manifest, text, identity: await sha256(text) }
}

/** Examples, layers or units: bounded, because they decide how much memory is allocated. */
const size = wholeNumber(1, 2 ** 24)
const different = (names: string[]): boolean => new Set(names).size === names.length

/** Criteria. Their names become names of tensors. */
const formulas = v.pipe(
  v.array(
    v.object({
      name: v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'the name of a criterion')),
      formula: v.string(),
    }),
  ),
  v.check((list) => different(list.map(({ name }) => name)), 'criteria of different names'),
)

const manifestSchema = v.object({
  format: v.literal(format),
  version: v.literal(version),
  model: v.object({
    hash: sha256Text,
    layers: size,
    heads: size,
    neurons: size,
    width: size,
    contextWidth: v.exactOptional(size),
  }),
  data: v.object({
    name: v.pipe(v.string(), v.minLength(1, 'a name'), v.maxLength(1000, 'at most 1000 characters')),
    hash: sha256Text,
    windows: size,
    groups: v.pipe(v.array(v.string()), v.check(different, 'names that differ')),
  }),
  criteria: formulas,
  datasetCriteria: formulas,
  seed: seedNumber,
  keepSequence: v.boolean(),
  mask: v.nullable(sha256Text),
  shardExamples: size,
})
