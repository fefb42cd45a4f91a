/**
 * The files of a calibration: safetensors whose tensors stack N examples.
 *
 *   index, group, lengths       [N] I32   index in the set, index in the groups of the manifest, prompt length
 *   loss                        [N]
 *   last, mean, stream          [N, L, H K] [N, L, H K] [N, L, D] see `PromptFeatures`
 *   heads.<criterion>           [N, L, H]
 *   neurons.<criterion>         [N, L, F]
 *   sequence                    [sum of lengths, H K], if it was kept
 *
 *   part-00000.safetensors      a part: examples in order, as many as the manifest says
 *   example-00000.safetensors   one example of a part that is not complete yet
 *   dataset.safetensors         heads.<criterion> [L, H], neurons.<criterion> [L, F] of the whole set
 *
 * A file carries the identity of its calibration and a checksum of its tensors.
 */
import type { UnitScores } from '../masks/selection.ts'
import { openSafetensors, parseSafetensors } from '../io/safetensors.ts'
import { encodeSafetensors, safetensorsSize, type TensorForm } from '../io/safetensors_writer.ts'
import { quote, refusal } from '../io/refusal.ts'
import { sha256 } from '../platform/platform.ts'
import { concatenate } from '../tensor/concatenate.ts'
import { decodeFloats, decodeIntegers } from '../tensor/dtypes.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import type { GroupedExample } from './examples.ts'
import type { CalibrationManifest, DescribedCalibration, StoredManifest } from './manifest.ts'

export const datasetName = 'dataset.safetensors'

/** The file name of a part. */
export function partName(part: number): string {
  return `part-${String(part).padStart(5, '0')}.safetensors`
}

/** The file name of an example. */
export function exampleName(index: number): string {
  return `example-${String(index).padStart(5, '0')}.safetensors`
}

/** Indices in the set: from `first` to `end`, exclusive. */
export interface Range {
  readonly first: number
  readonly end: number
}

/** The number of parts. */
export function partCount({ data, shardExamples }: CalibrationManifest): number {
  return Math.ceil(data.windows / shardExamples)
}

/** The range of examples of a part. */
export function partRange({ data, shardExamples }: CalibrationManifest, part: number): Range {
  return { first: part * shardExamples, end: Math.min(data.windows, (part + 1) * shardExamples) }
}

type Values = Float32Array | Int32Array

/** The dtypes and shapes of the tensors of examples. @param lengths of their prompts */
export function exampleForms(
  manifest: DescribedCalibration,
  lengths: readonly number[],
): Map<string, TensorForm> {
  const { layers: L, heads: H, neurons: F, width: D, contextWidth: C = D } = manifest.model
  const N = lengths.length
  const forms = new Map<string, TensorForm>()
  for (const name of ['index', 'group', 'lengths']) forms.set(name, { dtype: 'I32', shape: [N] })
  const floats = (name: string, ...shape: number[]): unknown => forms.set(name, { dtype: 'F32', shape })
  floats('loss', N)
  for (const name of ['last', 'mean']) floats(name, N, L, C)
  floats('stream', N, L, D)
  for (const { name } of manifest.criteria) {
    floats(`heads.${name}`, N, L, H)
    floats(`neurons.${name}`, N, L, F)
  }
  if (manifest.keepSequence)
    floats(
      'sequence',
      lengths.reduce((total, length) => total + length, 0),
      C,
    )
  return forms
}

/** The shapes of the tensors of a data set's scores. */
function datasetForms({ model, datasetCriteria }: CalibrationManifest): Map<string, TensorForm> {
  const forms = new Map<string, TensorForm>()
  for (const { name } of datasetCriteria) {
    forms.set(`heads.${name}`, { dtype: 'F32', shape: [model.layers, model.heads] })
    forms.set(`neurons.${name}`, { dtype: 'F32', shape: [model.layers, model.neurons] })
  }
  return forms
}

const FORMAT = 'shadowllm-calibration'

/** The metadata of a file. */
export function calibrationMetadata(identity: string, checksum: string): Record<string, string> {
  return { format: FORMAT, calibration: identity, checksum }
}

/** As many examples as fit into a file of 16 MiB, at most 64. @param lengths of all prompts */
export function defaultFileExamples(described: DescribedCalibration, lengths: readonly number[]): number {
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0)
  const bytes = safetensorsSize(exampleForms(described, [longest]))
  return Math.max(1, Math.min(64, Math.floor(2 ** 24 / bytes)))
}

/** The files of a finished calibration, and the exact size of its folder. @param lengths of all prompts */
export function planFiles(
  { manifest, text, identity }: StoredManifest,
  lengths: readonly number[],
): { shards: number; bytes: number } {
  const shards = partCount(manifest)
  const files = Array.from({ length: shards }, (_, part) => {
    const { first, end } = partRange(manifest, part)
    return exampleForms(manifest, lengths.slice(first, end))
  })
  if (manifest.datasetCriteria.length > 0) files.push(datasetForms(manifest))
  const metadata = calibrationMetadata(identity, '0'.repeat(64))
  const sizes = files.map((forms) => safetensorsSize(forms, metadata))
  return { shards, bytes: sizes.reduce((sum, size) => sum + size, new TextEncoder().encode(text).length) }
}

/** The file of these examples. @param examples in order @param lengths of their prompts */
export function encodeExamples(
  { manifest, identity }: StoredManifest,
  examples: readonly GroupedExample[],
  lengths: readonly number[],
): Promise<Uint8Array<ArrayBuffer>> {
  const values = (name: string): Values => {
    const stack = (part: (example: GroupedExample) => Float32Array | null): Float32Array =>
      concatenate(
        Float32Array,
        examples.map((example) => part(example) ?? new Float32Array()),
      )
    const scores = (of: GroupedExample, criterion: string): UnitScores =>
      of.scores.get(criterion) as UnitScores
    const [kind, criterion] = splitOnce(name)
    if (kind === 'heads' || kind === 'neurons') return stack((example) => scores(example, criterion)[kind])
    if (name === 'index') return Int32Array.from(examples, ({ index }) => index)
    if (name === 'group') return Int32Array.from(examples, ({ group }) => manifest.data.groups.indexOf(group))
    if (name === 'lengths') return Int32Array.from(lengths)
    if (name === 'loss') return Float32Array.from(examples, ({ loss }) => loss)
    return stack(({ features }) => features[name as keyof typeof features])
  }
  return encodeValues(exampleForms(manifest, lengths), values, identity)
}

/** The file of the scores of a data set. */
export function encodeDataset(
  { manifest, identity }: StoredManifest,
  scores: ReadonlyMap<string, UnitScores>,
): Promise<Uint8Array<ArrayBuffer>> {
  const values = (name: string): Values => {
    const [kind, criterion] = splitOnce(name)
    return (scores.get(criterion) as UnitScores)[kind as 'heads' | 'neurons']
  }
  return encodeValues(datasetForms(manifest), values, identity)
}

async function encodeValues(
  forms: ReadonlyMap<string, TensorForm>,
  valuesOf: (name: string) => Values,
  identity: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const tensors = new Map([...forms].map(([name, form]) => [name, { ...form, data: valuesOf(name) }]))
  return encodeSafetensors(tensors, calibrationMetadata(identity, await checksumOf(tensors)))
}

/** One hash for names, types, shapes and values. */
async function checksumOf(
  tensors: ReadonlyMap<string, TensorForm & { data: ArrayBufferView }>,
): Promise<string> {
  const lines: string[] = []
  for (const name of [...tensors.keys()].toSorted()) {
    const { dtype, shape, data } = tensors.get(name) as TensorForm & { data: ArrayBufferView<ArrayBuffer> }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    lines.push(`${name} ${dtype} [${shape.join(', ')}] ${await sha256(bytes)}`)
  }
  return sha256(lines.join('\n'))
}

/** Splits "heads.plainact" into heads and plainact. */
function splitOnce(name: string): [string, string] {
  const dot = name.indexOf('.')
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot + 1)]
}

/**
 * The examples of a file.
 * @throws InputError CALIBRATION_SHARD for a file of another calibration or of other examples, or a damaged one;
 *   SAFETENSORS_*, FILE_* and others of the reader
 */
export async function readExamples(
  path: string,
  stored: StoredManifest,
  range: Range,
): Promise<GroupedExample[]> {
  return examplesOf(await openSafetensors(path), path, stored, range)
}

/** The examples of a file in memory. @throws InputError as `readExamples` */
export async function parseExamples(
  bytes: Uint8Array,
  stored: StoredManifest,
  range: Range,
): Promise<GroupedExample[]> {
  const name = 'examples'
  return examplesOf(await parseSafetensors(bytes, name), name, stored, range)
}

/** @param path the name of the file in errors; it is closed */
async function examplesOf(
  source: RawTensorSource,
  path: string,
  stored: StoredManifest,
  { first, end }: Range,
): Promise<GroupedExample[]> {
  const { manifest } = stored
  const N = end - first
  const tensors = await readTensors(source, path, stored, () => lengthsForms(source, manifest, N))
  const ids = (name: string): Int32Array => tensors.get(name) as Int32Array
  if (ids('index').some((index, i) => index !== first + i))
    throw refusal('CALIBRATION_SHARD', path, `examples ${first} to ${end - 1}`, 'other examples')
  const { layers: L, width: D, contextWidth: C = D, heads: H, neurons: F } = manifest.model
  const shape = { layers: L, heads: H, neurons: F }
  const row = (name: string, i: number, width: number): Float32Array =>
    (tensors.get(name) as Float32Array).slice(i * width, (i + 1) * width)
  let start = 0
  return Array.from({ length: N }, (_, i) => {
    const group = manifest.data.groups[ids('group')[i]]
    if (group === undefined)
      throw refusal('CALIBRATION_SHARD', path, 'groups of the manifest', 'another group')
    const from = start
    start += ids('lengths')[i] * C
    const scores = manifest.criteria.map(({ name }): [string, UnitScores] => [
      name,
      { shape, heads: row(`heads.${name}`, i, L * H), neurons: row(`neurons.${name}`, i, L * F) },
    ])
    const sequence = (tensors.get('sequence') as Float32Array | undefined)?.slice(from, start) ?? null
    const [last, mean] = ['last', 'mean'].map((name) => row(name, i, L * C))
    const stream = row('stream', i, L * D)
    return {
      index: first + i,
      group,
      features: { last, mean, stream, sequence },
      scores: new Map(scores),
      loss: (tensors.get('loss') as Float32Array)[i],
    }
  })
}

/** The scores of a data set, by criterion. @throws InputError as `readExamples` */
export async function readDataset(path: string, stored: StoredManifest): Promise<Map<string, UnitScores>> {
  const { manifest } = stored
  const source = await openSafetensors(path)
  const tensors = await readTensors(source, path, stored, async () => datasetForms(manifest))
  const { layers, heads, neurons } = manifest.model
  return new Map(
    manifest.datasetCriteria.map(({ name }): [string, UnitScores] => [
      name,
      {
        shape: { layers, heads, neurons },
        heads: tensors.get(`heads.${name}`) as Float32Array,
        neurons: tensors.get(`neurons.${name}`) as Float32Array,
      },
    ]),
  )
}

/** The tensors of a file, after a check of their shapes and checksum. The file is closed. */
async function readTensors(
  source: RawTensorSource,
  path: string,
  { identity }: StoredManifest,
  formsOf: () => Promise<Map<string, TensorForm>>,
): Promise<Map<string, Values>> {
  try {
    // A kept file is exactly what would be written, so its metadata has these three entries.
    const { metadata } = source
    if (metadata.get('format') !== FORMAT || metadata.size !== 3)
      throw refusal('CALIBRATION_SHARD', path, `metadata of ${FORMAT}`, 'other metadata')
    const found = metadata.get('calibration') ?? 'none'
    if (found !== identity)
      throw refusal('CALIBRATION_SHARD', path, `a file of calibration ${identity}`, quote(found))
    const forms = await formsOf()
    const describe = (of: ReadonlyMap<string, TensorForm>): string =>
      [...of]
        .map(([name, { dtype, shape }]) => `${name} ${dtype} [${shape.join(', ')}]`)
        .toSorted()
        .join('; ')
    if (describe(source.tensors) !== describe(forms))
      throw refusal('CALIBRATION_SHARD', path, 'the tensors of the manifest', 'other tensors')
    const stored = new Map<string, TensorForm & { data: Uint8Array<ArrayBuffer> }>()
    for (const [name, form] of forms) stored.set(name, { ...form, data: await source.readRaw(name) })
    if ((await checksumOf(stored)) !== metadata.get('checksum'))
      throw refusal('CALIBRATION_SHARD', path, 'the values that were written', 'values with another checksum')
    const values = new Map<string, Values>()
    for (const [name, { dtype, data }] of stored)
      values.set(name, dtype === 'I32' ? decodeIntegers(dtype, data, name) : decodeFloats(dtype, data, name))
    return values
  } finally {
    await source.close()
  }
}

/** The shapes of a file; its `lengths` decide the length of its sequences. */
async function lengthsForms(
  source: RawTensorSource,
  manifest: CalibrationManifest,
  N: number,
): Promise<Map<string, TensorForm>> {
  const found = source.tensors.get('lengths')
  if (found?.dtype !== 'I32' || found.shape.join() !== `${N}`)
    throw refusal('CALIBRATION_SHARD', 'lengths', `I32 [${N}]`, found ? 'another tensor' : 'none')
  const lengths = [...decodeIntegers('I32', await source.readRaw('lengths'), 'lengths')]
  const shortest = lengths.reduce((a, b) => Math.min(a, b), Infinity)
  if (shortest >= 1) return exampleForms(manifest, lengths)
  throw refusal('CALIBRATION_SHARD', 'lengths', 'prompts of at least one token', `${shortest}`)
}
