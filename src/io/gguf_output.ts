/**
 * A model that was read from a GGUF file and changed, as a GGUF file again. Entries are those of the file, to the byte, but for those that
 * tell numbers of units and how numbers are rounded: vocabulary, chat template and what this project does not know are kept. So are the order
 * of tensors, and those that are no weights.
 *
 * llama.cpp has one number of heads and of neurons for all layers of a `llama`. Layers that differ make a `deci` of it, which is the same
 * but for that (gguf_model.ts reads it).
 *
 * A file is read back before it is moved: its configuration has to be that of what was written.
 */
import { rowsOf, type TensorInfo } from '../tensor/tensor_source.ts'
import { fileNameOf, joinPath, writeFileAtomic } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Checkpoint, Conversion, ConvertOptions } from './conversion.ts'
import { openFile, readUnchanged } from './files.ts'
import { readGgufHeader, type GgufTensor } from './gguf.ts'
import { GgufEntries } from './gguf_entries.ts'
import type { Format } from './gguf_formats.ts'
import { architectureNames, LAYERWISE, openGguf, tensorOf, type KnownTensor } from './gguf_model.ts'
import {
  blockOf,
  bytesOf,
  formatEntries,
  formatOf,
  ggufFile,
  inPairs,
  type WrittenTensor,
  type WrittenValue,
} from './gguf_writer.ts'
import { isGguf } from './load.ts'
import { checkPlace, whileStaged, type OutputPlace } from './staged_output.ts'

/**
 * Converts a model of a GGUF file.
 * @param from the file
 * @throws as `convertCheckpoint`
 */
export async function convertGguf(
  from: string,
  place: OutputPlace,
  { change, type = 'F32', force = false, signal, onProgress }: ConvertOptions,
): Promise<Conversion> {
  const { path: to } = place
  if (!isGguf(from))
    throw new UsageError('OUTPUT', `${to}: expected a GGUF file as the source, got ${fileNameOf(from)}`)
  const name = fileNameOf(to)
  await checkPlace(place, [name], force)
  const input = await openGguf(from)
  let { source } = input
  try {
    const form = { layersDiffer: input.configJson.model_type === 'llama', multiple: blockOf(type) }
    const checkpoint = change ? await change(input, form) : input
    ;({ source } = checkpoint)
    return await whileStaged(place, [], async (staged) => {
      const path = joinPath(staged, name)
      const { tensors, bytes: totalBytes, parts } = await outputOf(from, checkpoint, type)
      let written = 0
      const watched = async function* (): AsyncGenerator<Uint8Array<ArrayBuffer>> {
        for await (const bytes of parts) {
          signal?.throwIfAborted()
          yield bytes
          written += bytes.length
          // The header and padding are no tensors.
          onProgress?.({ doneBytes: Math.min(written, totalBytes), totalBytes, name })
        }
      }
      await writeFileAtomic(path, watched())
      await expectConfig(path, to, checkpoint.configJson)
      return { files: [{ name, bytes: written }], tensors, bytes: totalBytes, repeated: [], leftOut: [] }
    })
  } finally {
    await source.close()
  }
}

/** @throws UsageError OUTPUT where a file does not say what the model is */
async function expectConfig(path: string, to: string, of: Checkpoint['configJson']): Promise<void> {
  const { configJson, source } = await openGguf(path)
  await source.close()
  const expected: Checkpoint['configJson'] = { head_dim: headSizeOf(of), ...of }
  for (const [field, value] of Object.entries(configJson))
    if (JSON.stringify(value) !== JSON.stringify(expected[field]))
      throw new UsageError(
        'OUTPUT',
        `${to}: expected a model whose ${field} follows from its sizes in a GGUF file, got another`,
      )
}

/** What will be written. */
interface GgufOutput {
  readonly tensors: number
  /** Bytes of tensors. */
  readonly bytes: number
  /** The bytes of the file, in order. Tensors are read when their turn comes. */
  readonly parts: AsyncIterable<Uint8Array<ArrayBuffer>>
}

/** A weight of the file, and how it is now. */
interface Weight extends KnownTensor {
  readonly tensor: GgufTensor
  readonly info: TensorInfo
}

/** The file of a changed model. @param path of the one that the model was read from */
async function outputOf(path: string, from: Checkpoint, format: Format): Promise<GgufOutput> {
  const file = await openFile(path)
  try {
    const { entries, places, tensors } = await readGgufHeader(file, path)
    const bytesAt = (start: number, length: number): Promise<Uint8Array<ArrayBuffer>> =>
      readUnchanged(file, start, length, path)
    const before = new GgufEntries(entries, path).oneOf('general.architecture', architectureNames)
    const layers = from.configJson.num_hidden_layers as number
    const all = [...tensors.values()].map((tensor): Weight | GgufTensor => {
      const known = tensorOf(tensor, path, before, layers)
      return known ? { ...known, tensor, info: from.source.tensors.get(known.hugging) as TensorInfo } : tensor
    })
    const units = unitsOf(
      from,
      all.filter((one) => 'tensor' in one),
    )
    const after = before === 'llama' && units.differ ? LAYERWISE : before
    const said = new Map<string, WrittenValue>([
      ...formatEntries(format),
      ...units.entries.map(([key, value]) => [`${after}.${key}`, value] as const),
    ])
    const written = new Map<string, WrittenValue>([['general.architecture', after]])
    for (const [key, [start, end]] of places) {
      if (key === 'general.architecture' || key === 'general.alignment') continue
      const name = key.startsWith(`${before}.`) ? `${after}${key.slice(before.length)}` : key
      if (!said.has(name)) written.set(name, await bytesAt(start, end - start))
    }
    for (const [key, value] of said) written.set(key, value)
    const now: WrittenTensor[] = []
    for (const one of all) {
      if ('tensor' in one) {
        now.push(tensorNow(one, from.source, format, units.headSize))
        continue
      }
      const bytes = await bytesAt(one.start, one.byteLength)
      now.push({ name: one.name, shape: one.shape, format: one.type.name, read: async () => bytes })
    }
    const bytes = now.reduce((sum, one) => sum + bytesOf(one), 0)
    return { tensors: now.length, bytes, parts: ggufFile(written, now) }
  } finally {
    await file.close()
  }
}

function headSizeOf({
  head_dim: size,
  hidden_size: width,
  num_attention_heads: heads,
}: Checkpoint['configJson']): number {
  return (size ?? (width as number) / (heads as number)) as number
}

/** What a file says of the units of layers. */
interface SaidUnits {
  readonly headSize: number
  /** Whether layers have different numbers of them. */
  readonly differ: boolean
  /** By keys without their architecture. */
  readonly entries: readonly (readonly [string, WrittenValue])[]
}

function unitsOf({ configJson }: Checkpoint, weights: readonly Weight[]): SaidUnits {
  const field = (name: string): number => configJson[name] as number
  const size = headSizeOf(configJson)
  const each = (module: string, of: (rows: number, columns: number) => number): number[] =>
    weights
      .filter((weight) => weight.module === module)
      .toSorted((a, b) => a.layer - b.layer)
      .map(({ info }) => of(rowsOf(info.shape).rows, rowsOf(info.shape).columns))
  const lists: readonly (readonly [key: string, field: string, each: readonly number[]])[] = [
    ['attention.head_count', 'num_attention_heads', each('attn_output', (_, columns) => columns / size)],
    ['attention.head_count_kv', 'num_key_value_heads', each('attn_k', (rows) => rows / size)],
    ['feed_forward_length', 'intermediate_size', each('ffn_down', (_, columns) => columns)],
  ]
  const differ = lists.some(([, , list]) => new Set(list).size > 1)
  const counts = lists.map(
    ([key, name, list]) => [key, differ ? Int32Array.from(list) : { u32: field(name) }] as const,
  )
  // Without them a head has as many numbers as the width has for each head of the first layer.
  const sizes = ['attention.key_length', 'attention.value_length'].map((key) => [key, { u32: size }] as const)
  return {
    headSize: size,
    differ,
    entries: [...counts, ...(differ || 'head_dim' in configJson ? sizes : [])],
  }
}

function tensorNow(
  { tensor: { name }, info, heads }: Weight,
  source: Checkpoint['source'],
  format: Format,
  headSize: number,
): WrittenTensor {
  const { shape } = info
  const read = async (): Promise<Float32Array> => {
    const values = await source.read(info.name)
    return heads === null ? values : inPairs(values, headSize, rowsOf(shape).columns)
  }
  return { name, shape, format: formatOf(name, shape, format), read }
}
