/**
 * Converts any readable checkpoint to safetensors, with the same names, types, shapes and bytes, in a streaming way. Tensors
 * of a GGUF file get the names of Hugging Face; quantised ones become the float32 numbers that they stand for.
 *
 * The result is a model folder, with the configuration and tokenizer of the input, or one file. The output is atomic:
 * everything is written into a temporary folder, which becomes the output if there is none. Otherwise its files are moved
 * into the output, and the file that readers open first is moved last.
 *
 * A change of the checkpoint may be given, such as leaving units out; then configuration and tensors are those of its result.
 *
 * The output of a GGUF file may be one again (gguf_output.ts). It is read back before it is moved: its configuration has to be that of
 * what was written.
 *
 * Safetensors cannot share values, so a storage of torch is written once for each tensor that uses it. The exception is an
 * lm_head that `config.json` ties to the embedding table and that has the same values: it is left out, as in Hugging Face,
 * because readers of a tied model use the table. Without `config.json` nothing is left out.
 */
import { absolutePath, fileNameOf, folderOf, joinPath, writeFileAtomic } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import type { RawTensorSource, TensorInfo } from '../tensor/tensor_source.ts'
import type { Checkpoint, Conversion, ConvertOptions } from './conversion.ts'
import { kindOf, readWhole } from './files.ts'
import { objectOf, parseJson, toPlain } from './json.ts'
import { expectInside } from './inside.ts'
import { refusal } from './refusal.ts'
import { chatFiles, findModelFiles, isGguf, openWeights } from './load.ts'
import { streamSafetensors, type Metadata } from './safetensors_writer.ts'
import { encodeShardIndex, shardIndexName } from './shard_index.ts'
import { checkPlace, whileStaged, type OutputPlace, type WrittenFile } from './staged_output.ts'
import { tokenizerFiles } from './tokenizer.ts'

/** The approximate size of a read, in bytes. */
const PART_LENGTH = 2 ** 22

const CONFIG = 'config.json'

/** Files that are copied with the weights, if they exist. */
const companions = [CONFIG, ...tokenizerFiles, ...chatFiles, 'special_tokens_map.json', 'added_tokens.json']

/**
 * Converts a checkpoint.
 * @param from a model folder, a file of weights, an index of several, or a GGUF file
 * @param to a folder, created if it is missing; or one file, if the name ends with ".safetensors" or ".gguf"
 * @throws UsageError OUTPUT for several parts in one file, an output equal to the input, a changed checkpoint beside the input
 *   or in one file of safetensors, which has no place for its configuration, a GGUF file of another input or of a model that it cannot
 *   say; OUTPUT_EXISTS for an output that exists, or a folder with weights
 *   that readers would prefer; InputError MODEL_CONFIG for a checkpoint to be changed that has none; those of the reader of the
 *   source and of the change
 */
export async function convertCheckpoint(
  from: string,
  to: string,
  options: ConvertOptions = {},
): Promise<Conversion> {
  const toGguf = isGguf(to)
  const toFile = toGguf || to.endsWith('.safetensors')
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
  if (toGguf) {
    const { convertGguf } = await import('./gguf_output.ts')
    return convertGguf(weights, place, options)
  }
  if (options.change && (toFile || isInside))
    throw new UsageError(
      'OUTPUT',
      `${to}: expected another folder than that of the input, got ${toFile ? 'a file' : 'the same'}`,
    )
  const input = await openInput(weights)
  const {
    source,
    beside: all,
    tiesHead,
  } = options.change ? await changed(input, weights, options.change) : input
  try {
    // A GGUF file has no companions beside it, so they are written wherever the output is a folder.
    const beside = toFile || (isInside && !isGguf(weights)) ? [] : all
    const plan = planConversion(source, tiesHead, toFile ? fileNameOf(to) : null, shardSize)
    const names = [...beside.map(({ name }) => name), ...plan.names]
    // Readers prefer this file to an index.
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

// ---- The input ------------------------------------------------------------------------------------------------

/** A file beside the weights. */
interface Companion {
  readonly name: string
  read(): Promise<Uint8Array>
}

interface Input {
  readonly source: RawTensorSource
  readonly beside: readonly Companion[]
  /** Whether the configuration ties the lm_head. */
  readonly tiesHead: boolean
}

async function openInput(weights: string): Promise<Input> {
  if (isGguf(weights)) return openGgufInput(weights)
  const folder = folderOf(weights)
  const beside = await companionsOf(folder)
  const ties = await tiesHead(folder)
  return { source: await openWeights(weights), beside, tiesHead: ties }
}

/** The input after a change. Its source is closed if the change fails. */
async function changed(
  { source, beside, tiesHead: isTied }: Input,
  weights: string,
  change: NonNullable<ConvertOptions['change']>,
): Promise<Input> {
  try {
    const own = beside.find(({ name }) => name === CONFIG)
    if (!own) throw refusal('MODEL_CONFIG', folderOf(weights), `${CONFIG} in it`, 'no such file')
    const json = objectOf(parseJson(await own.read(), CONFIG), 'MODEL_CONFIG', CONFIG)
    const configJson = toPlain(json) as Checkpoint['configJson']
    const result = await change({ configJson, source }, {})
    const text = jsonFile(CONFIG, result.configJson)
    return {
      source: result.source,
      beside: beside.map((one) => (one === own ? text : one)),
      tiesHead: isTied,
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

function textFile(name: string, content: () => string): Companion {
  return { name, read: async () => new TextEncoder().encode(content()) }
}

function jsonFile(name: string, value: unknown): Companion {
  return textFile(name, () => `${JSON.stringify(value, null, 2)}\n`)
}

/** A GGUF file, with what it says in the files of Hugging Face. Its reader is loaded on first use. */
async function openGgufInput(path: string): Promise<Input> {
  const { openGguf } = await import('./gguf_model.ts')
  const { encodeTokenizerJson } = await import('./tokenizer_json_writer.ts')
  const { configJson, source, vocabulary, chat } = await openGguf(path)
  const tokens = chat && { bos_token: chat.bosToken, eos_token: chat.eosToken, chat_template: chat.source }
  const beside = [jsonFile(CONFIG, configJson)]
  if (vocabulary) beside.push(textFile('tokenizer.json', () => encodeTokenizerJson(vocabulary)))
  if (tokens) beside.push(jsonFile('tokenizer_config.json', tokens))
  return { source, beside, tiesHead: configJson.tie_word_embeddings === true }
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

function planConversion(
  source: RawTensorSource,
  tied: boolean,
  fileName: string | null,
  shardSize = Infinity,
): Plan {
  const head = tied ? sharedHead(source) : undefined
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

/** Whether the configuration ties the lm_head; the default is that it does. */
async function tiesHead(folder: string): Promise<boolean> {
  const path = joinPath(folder, CONFIG)
  if ((await kindOf(path)) !== 'file') return false
  const json = parseJson(await readWhole(path), CONFIG)
  return json instanceof Map && json.get('tie_word_embeddings') !== false
}

/** The lm_head, if it has the same stored values as the embedding table. */
function sharedHead({ tensors }: RawTensorSource): string | undefined {
  const head = tensors.get('lm_head.weight')
  for (const table of tensors.values())
    if (/(^|\.)embed_tokens\.weight$/.test(table.name))
      if (head && (head.sameAs === table.name || table.sameAs === head.name)) return head.name
  return undefined
}

/**
 * Splits tensors into files of at most `size` bytes, unless one tensor is larger. They are sorted by name, with numbers by
 * value, so that the split does not depend on the source, and layers stay together.
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

/** File names as in Hugging Face; the one that readers open first is last. */
function shardNames(count: number): string[] {
  const five = (value: number): string => String(value).padStart(5, '0')
  if (count === 1) return ['model.safetensors']
  const shards = Array.from({ length: count }, (_, i) => `model-${five(i + 1)}-of-${five(count)}.safetensors`)
  return [...shards, shardIndexName]
}

async function companionsOf(folder: string): Promise<Companion[]> {
  await expectInside(folder, companions)
  const found: Companion[] = []
  for (const name of companions) {
    const path = joinPath(folder, name)
    if ((await kindOf(path)) === 'file') found.push({ name, read: () => readWhole(path) })
  }
  return found
}

// ---- Writing --------------------------------------------------------------------------------------------------

/** Writes all files into a folder, in the order in which they will be moved. */
async function writeAll(
  source: RawTensorSource,
  plan: Plan,
  beside: readonly Companion[],
  folder: string,
  options: ConvertOptions,
): Promise<WrittenFile[]> {
  const written: WrittenFile[] = []
  for (const { name, read } of beside) {
    const bytes = await read()
    await writeFileAtomic(joinPath(folder, name), bytes)
    written.push({ name, bytes: bytes.length })
  }
  // transformers requires a format entry.
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

/** The bytes of a tensor, counted; stops on the signal. */
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
