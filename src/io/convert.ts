/**
 * Writes any checkpoint that can be read as safetensors: the same names, types, shapes and bytes, a part at a time.
 *
 * The result is a model's folder, with the configuration and the tokenizer that stood beside the weights, or one file.
 * It appears complete or not at all: everything is written into a folder of a temporary name, which becomes the output
 * if there is none, else its files are moved into it, last the one that a reader begins with.
 *
 * Safetensors cannot share values, so a storage of torch is written once for each tensor that lies in it. The exception is
 * a head that `config.json` ties to the token table and that is the same values: as with Hugging Face it is left out,
 * because whoever reads a tied model takes the table. Without a `config.json` nothing is left out.
 */
import { absolutePath, fileNameOf, folderOf, joinPath, writeFileAtomic } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import type { RawTensorSource, TensorInfo } from '../tensor/tensor_source.ts'
import { kindOf, readWhole } from './files.ts'
import { parseJson } from './json.ts'
import { findModelFiles, openWeights } from './load.ts'
import { streamSafetensors, type Metadata } from './safetensors_writer.ts'
import { encodeShardIndex, shardIndexName } from './shard_index.ts'
import { checkPlace, whileStaged, type OutputPlace, type WrittenFile } from './staged_output.ts'
import { tokenizerFiles } from './tokenizer.ts'

/** What is read of a tensor at once, about. */
const PART_LENGTH = 2 ** 22

/** What goes with the weights into a folder, if it stands beside them. */
const companions = [
  'config.json',
  'generation_config.json',
  ...tokenizerFiles,
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
]

/** How a conversion is done and watched. */
export interface ConvertOptions {
  /** Bytes of tensors in one file at most, but for a tensor that is larger; several files have an index. */
  readonly shardSize?: number
  /** Replace what is there. */
  readonly force?: boolean
  /** Ends the conversion between two parts; nothing stays of it. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { doneBytes: number; totalBytes: number; name: string }) => void
}

/** What was written. */
export interface Conversion {
  /** Files in the output, in the order in which they got their names. */
  readonly files: readonly WrittenFile[]
  readonly tensors: number
  /** Bytes of tensors. */
  readonly bytes: number
  /** Tensors that are the same stored values as another, and were written all the same. */
  readonly repeated: readonly string[]
  /** The tied head, where it was left out. */
  readonly leftOut: readonly string[]
}

/**
 * Converts a checkpoint.
 * @param from a model's folder, or a file of weights or an index of several
 * @param to a folder, made if it is missing; or one file, where the name ends with ".safetensors"
 * @throws UsageError OUTPUT for parts of one file, or an output that is what is read; OUTPUT_EXISTS for one that would be
 *   replaced, or whose folder has weights that would be read in its place; InputError whatever the source is refused with
 */
export async function convertCheckpoint(
  from: string,
  to: string,
  options: ConvertOptions = {},
): Promise<Conversion> {
  const toFile = to.endsWith('.safetensors')
  const { shardSize, force = false, signal } = options
  if (toFile && shardSize !== undefined)
    throw new UsageError('OUTPUT', `${to}: expected a folder for several files, got the name of a file`)
  const weights = (await kindOf(from)) === 'file' ? from : (await findModelFiles(from)).weights
  const place: OutputPlace = { path: to, folder: toFile ? folderOf(to) : to }
  const isInside = absolutePath(place.folder) === absolutePath(folderOf(weights))
  if (
    isInside &&
    (toFile ? fileNameOf(to) === fileNameOf(weights) : /\.safetensors(\.index\.json)?$/.test(weights))
  )
    throw new UsageError('OUTPUT', `${to}: expected another path than that of the input, got the input`)
  const source = await openWeights(weights)
  try {
    const beside = toFile || isInside ? [] : await companionsOf(folderOf(weights))
    const plan = await planConversion(source, folderOf(weights), toFile ? fileNameOf(to) : null, shardSize)
    const names = [...beside.map(fileNameOf), ...plan.names]
    // A reader of the folder would take this before an index.
    const stale = plan.shards.length > 1 ? ['model.safetensors'] : []
    await checkPlace(place, [...names, ...stale], force)
    return await whileStaged(place, stale, async (staged) => {
      const files = await writeAll(source, plan, beside, staged, options)
      signal?.throwIfAborted()
      const { kept, bytes, repeated, leftOut } = plan
      return { files, tensors: kept.length, bytes, repeated, leftOut }
    })
  } finally {
    await source.close()
  }
}

// ---- What will be written -------------------------------------------------------------------------------------

interface Plan {
  readonly kept: readonly TensorInfo[]
  /** Of all of them. */
  readonly bytes: number
  readonly repeated: readonly string[]
  readonly leftOut: readonly string[]
  /** The tensors of each file. */
  readonly shards: readonly (readonly TensorInfo[])[]
  /** Names of these files, and of their index. */
  readonly names: readonly string[]
}

async function planConversion(
  source: RawTensorSource,
  folder: string,
  fileName: string | null,
  shardSize = Infinity,
): Promise<Plan> {
  const head = (await tiesHead(folder)) ? sharedHead(source) : undefined
  const kept = [...source.tensors.values()].filter(({ name }) => name !== head)
  const shards = splitTensors(kept, shardSize)
  return {
    kept,
    bytes: kept.reduce((sum, { byteLength }) => sum + byteLength, 0),
    repeated: kept.filter(({ sameAs }) => sameAs !== undefined && sameAs !== head).map(({ name }) => name),
    leftOut: head === undefined ? [] : [head],
    shards,
    names: fileName === null ? shardNames(shards.length) : [fileName],
  }
}

/** Whether the configuration beside weights ties the head; what it does not say means that it does. */
async function tiesHead(folder: string): Promise<boolean> {
  const path = joinPath(folder, 'config.json')
  if ((await kindOf(path)) !== 'file') return false
  const json = parseJson(await readWhole(path), 'config.json')
  return json instanceof Map && json.get('tie_word_embeddings') !== false
}

/** The head, if it is the same stored values as the token table. */
function sharedHead({ tensors }: RawTensorSource): string | undefined {
  const head = tensors.get('lm_head.weight')
  for (const table of tensors.values())
    if (/(^|\.)embed_tokens\.weight$/.test(table.name))
      if (head && (head.sameAs === table.name || table.sameAs === head.name)) return head.name
  return undefined
}

/**
 * Tensors in files of at most `size` bytes, but for one that is larger. By name, numbers in it by their value, so that
 * the same tensors are split in the same way wherever they come from, and layers stay together.
 */
export function splitTensors(tensors: readonly TensorInfo[], size: number): TensorInfo[][] {
  const key = ({ name }: TensorInfo): string => name.replace(/\d+/g, (digits) => digits.padStart(20, '0'))
  const shards: TensorInfo[][] = [[]]
  let bytes = 0
  for (const tensor of tensors.toSorted((a, b) => (key(a) < key(b) ? -1 : 1))) {
    if (bytes + tensor.byteLength > size && shards[shards.length - 1].length > 0) {
      shards.push([])
      bytes = 0
    }
    shards[shards.length - 1].push(tensor)
    bytes += tensor.byteLength
  }
  return shards
}

/** The names Hugging Face gives, the one that a reader begins with last. */
function shardNames(count: number): string[] {
  const five = (value: number): string => String(value).padStart(5, '0')
  if (count === 1) return ['model.safetensors']
  const shards = Array.from({ length: count }, (_, i) => `model-${five(i + 1)}-of-${five(count)}.safetensors`)
  return [...shards, shardIndexName]
}

async function companionsOf(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of companions)
    if ((await kindOf(joinPath(folder, name))) === 'file') found.push(joinPath(folder, name))
  return found
}

// ---- Writing --------------------------------------------------------------------------------------------------

/** Writes all files into a folder, in the order in which they are to be moved from there. */
async function writeAll(
  source: RawTensorSource,
  plan: Plan,
  beside: readonly string[],
  folder: string,
  options: ConvertOptions,
): Promise<WrittenFile[]> {
  const written: WrittenFile[] = []
  for (const path of beside) {
    const bytes = await readWhole(path)
    await writeFileAtomic(joinPath(folder, fileNameOf(path)), bytes)
    written.push({ name: fileNameOf(path), bytes: bytes.length })
  }
  // transformers refuses a file that does not name a framework.
  const metadata: Metadata = { format: 'pt', ...Object.fromEntries(source.metadata) }
  const stream = watchedStream(source, plan, options)
  for (const [i, shard] of plan.shards.entries()) {
    const forms = new Map(shard.map((tensor) => [tensor.name, tensor]))
    const name = plan.names[i]
    const bytes = await streamSafetensors(joinPath(folder, name), forms, stream, metadata)
    written.push({ name, bytes })
  }
  if (plan.shards.length > 1) {
    const homes = new Map(plan.shards.flatMap((shard, i) => shard.map(({ name }) => [name, plan.names[i]])))
    const text = encodeShardIndex(homes, plan.bytes)
    await writeFileAtomic(joinPath(folder, shardIndexName), text)
    written.push({ name: shardIndexName, bytes: text.length })
  }
  return written
}

/** The bytes of a tensor, counted, until the signal says to stop. */
function watchedStream(
  source: RawTensorSource,
  { bytes: totalBytes }: Plan,
  { signal, onProgress }: ConvertOptions,
): (name: string) => AsyncIterable<Uint8Array> {
  let doneBytes = 0
  return async function* (name) {
    for await (const { bytes } of source.stream(name, PART_LENGTH)) {
      signal?.throwIfAborted()
      yield bytes
      doneBytes += bytes.length
      onProgress?.({ doneBytes, totalBytes, name })
    }
  }
}
