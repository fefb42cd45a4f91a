/**
 * Writes safetensors. The same tensors give the same bytes: wider element types first, then by name, so that every
 * tensor is aligned, and the header is padded with spaces to a multiple of eight.
 */
import { writeFileAtomic } from '../platform/platform.ts'
import { concatenate } from '../tensor/concatenate.ts'
import { elementSize } from '../tensor/dtypes.ts'
import { narrowToBf16, narrowToF16 } from '../tensor/halves.ts'
import type { SourceDtype } from '../tensor/tensor_source.ts'
import { TEXT_LIMIT } from './files.ts'
import { quote, refusal } from './refusal.ts'
import { byteLengthOf, checkTensorName } from './tensor_name.ts'

/** The type and shape of a tensor of a file. */
export interface TensorForm {
  readonly dtype: SourceDtype
  readonly shape: readonly number[]
}

/** One tensor for a file. */
export interface TensorToWrite extends TensorForm {
  /**
   * The values, row-major. Float32Array may be written as F32, F64, F16 or BF16 (rounded to nearest, ties to even),
   * Int32Array as I32 or I64; any other array, such as Uint8Array, contains the stored bytes.
   */
  readonly data:
    | Float32Array
    | Int32Array
    | Uint8Array
    | Uint16Array
    | Int8Array
    | Int16Array
    | Float64Array
    | BigInt64Array
}

/** The tensors of a file, by name. */
export type TensorsToWrite = ReadonlyMap<string, TensorToWrite>
/** The metadata of a file. */
export type Metadata = Readonly<Record<string, string>>

/**
 * Writes tensors to a safetensors file, atomically. For tensors that do not fit into memory there is `streamSafetensors`.
 * @param path an existing file is replaced once all is written
 * @param tensors type, shape and little-endian bytes of each, by name
 * @throws InputError TENSOR_NAME, TENSOR_SHAPE, TENSOR_OVERFLOW, TENSOR_SPAN if the data does not fit type and
 *   shape, SAFETENSORS_METADATA for text that is not well-formed, SAFETENSORS_HEADER_LIMIT for a header that
 *   readers refuse.
 * @example
 * ```ts
 * import { openSafetensors, writeSafetensors, type TensorToWrite } from 'shadowllm/io/safetensors'
 *
 * const path = 'build/numbers.safetensors'
 * const numbers: TensorToWrite = { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }
 * await writeSafetensors(path, new Map([['numbers', numbers]]))
 * const source = await openSafetensors(path)
 * console.log(await source.readRows('numbers', 1, 1)) // 4 5 6
 * await source.close()
 * ```
 */
export async function writeSafetensors(
  path: string,
  tensors: TensorsToWrite,
  metadata: Metadata = {},
): Promise<void> {
  await writeFileAtomic(path, storedParts(planFile(tensors, metadata)))
}

/**
 * Writes a safetensors file whose tensors come in parts, so that it may be larger than memory: one stream of stored bytes for each
 * tensor. Atomic, as `writeSafetensors`.
 * @param path an existing file is replaced once all is written
 * @param tensors type and shape of each, by name
 * @param stream the little-endian bytes of a tensor, by its name
 * @returns bytes of the file
 * @throws InputError TENSOR_NAME, TENSOR_SHAPE, TENSOR_OVERFLOW, TENSOR_SPAN for a stream of another length,
 *   SAFETENSORS_HEADER_LIMIT; what a stream throws
 * @example
 * ```ts
 * import { openSafetensors, streamSafetensors, type TensorForm } from 'shadowllm/io/safetensors'
 *
 * const path = 'build/parts.safetensors'
 * const numbers: TensorForm = { dtype: 'F32', shape: [2, 3] }
 * async function* rows(): AsyncGenerator<Uint8Array> {
 *   yield new Uint8Array(Float32Array.of(1, 2, 3).buffer)
 *   yield new Uint8Array(Float32Array.of(4, 5, 6).buffer)
 * }
 * console.log(await streamSafetensors(path, new Map([['numbers', numbers]]), rows), 'bytes')
 * const source = await openSafetensors(path)
 * console.log(await source.read('numbers'))
 * await source.close()
 * ```
 */
export async function streamSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorForm>,
  stream: (name: string) => AsyncIterable<Uint8Array>,
  metadata: Metadata = {},
): Promise<number> {
  const { ordered, header, byteLength } = planFile(tensors, metadata)
  await writeFileAtomic(
    path,
    (async function* () {
      yield header
      for (const [name, { dtype, shape }] of ordered) {
        const expected = byteLengthOf(dtype, shape, () => quote(name))
        let got = 0
        for await (const part of stream(name)) {
          got += part.length
          if (got <= expected) yield part
        }
        if (got !== expected)
          throw refusal('TENSOR_SPAN', quote(name), `${expected} bytes`, `${got}`, { tensor: name })
      }
    })(),
  )
  return byteLength
}

/**
 * The bytes of a safetensors file, in memory: those that `writeSafetensors` writes.
 * @param tensors type, shape and little-endian bytes of each, by name
 * @throws InputError as `writeSafetensors`.
 * @example
 * ```ts
 * import { encodeSafetensors, parseSafetensors, readIntegers } from 'shadowllm/io/safetensors'
 *
 * const ids = { dtype: 'I64', shape: [1, 3], data: Int32Array.of(2, 15, 7) } as const
 * const bytes = encodeSafetensors(new Map([['input_ids', ids]]), { made: 'by hand' })
 * const source = await parseSafetensors(bytes)
 * console.log(await readIntegers(source, 'input_ids'), source.metadata.get('made'))
 * ```
 */
export function encodeSafetensors(tensors: TensorsToWrite, metadata: Metadata = {}): Uint8Array<ArrayBuffer> {
  return concatenate<Uint8Array<ArrayBuffer>>(Uint8Array, [...storedParts(planFile(tensors, metadata))])
}

/**
 * The size of a file of these tensors, in bytes.
 * @throws InputError TENSOR_NAME, TENSOR_SHAPE
 */
export function safetensorsSize(tensors: ReadonlyMap<string, TensorForm>, metadata: Metadata = {}): number {
  return planFile(tensors, metadata).byteLength
}

/** A file of tensors in their order, and its header. */
interface Plan<Tensor> {
  readonly ordered: readonly [string, Tensor][]
  readonly header: Uint8Array
  readonly byteLength: number
}

function planFile<Tensor extends TensorForm>(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Metadata,
): Plan<Tensor> {
  const ordered = [...tensors].toSorted(
    ([nameA, a], [nameB, b]) => elementSize(b.dtype) - elementSize(a.dtype) || (nameA < nameB ? -1 : 1),
  )
  const fields: string[] = []
  // Keys are joined as text: an object would lose "__proto__" and reorder numeric keys.
  const about = Object.entries(metadata).map(
    ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
  )
  if (about.length > 0) fields.push(`"__metadata__":{${about.join(',')}}`)
  let end = 0
  for (const [name, { dtype, shape }] of ordered) {
    checkName(name)
    const begin = end
    end += byteLengthOf(dtype, shape, () => quote(name))
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`)
  }
  const text = new TextEncoder().encode(`{${fields.join(',')}}`)
  if (text.length > TEXT_LIMIT - 8) {
    const expected = `a header of at most ${TEXT_LIMIT} bytes`
    throw refusal('SAFETENSORS_HEADER_LIMIT', 'safetensors', expected, `${text.length}`)
  }
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true)
  header.set(text, 8)
  return { ordered, header, byteLength: header.length + end }
}

/** The header and the values; every tensor is checked before. */
function storedParts({ ordered, header }: Plan<TensorToWrite>): Iterable<Uint8Array> {
  for (const [name, tensor] of ordered) checkTensor(name, tensor)
  return (function* () {
    yield header
    for (const [, tensor] of ordered) yield storedBytes(tensor)
  })()
}

function checkName(name: string): void {
  checkTensorName(name, 'safetensors')
  if (name === '__metadata__') throw refusal('TENSOR_NAME', 'safetensors', 'another name', quote(name))
}

function checkTensor(name: string, { dtype, shape, data }: TensorToWrite): void {
  const elements = byteLengthOf(dtype, shape, () => quote(name)) / elementSize(dtype)
  const stored = isConverted(dtype, data) ? data.length : data.byteLength / elementSize(dtype)
  if (stored === elements) return
  const got = `${stored} for ${dtype} [${shape.join(', ')}]`
  throw refusal('TENSOR_SPAN', quote(name), `${elements} values`, got, { tensor: name })
}

/** Whether the array holds numbers to be converted rather than the stored bytes. */
function isConverted(dtype: SourceDtype, data: TensorToWrite['data']): boolean {
  if (data instanceof Float32Array) return ['F64', 'F16', 'BF16'].includes(dtype)
  return data instanceof Int32Array && dtype === 'I64'
}

function storedBytes({ dtype, data }: TensorToWrite): Uint8Array {
  const stored = isConverted(dtype, data) ? convert(dtype, data as Float32Array | Int32Array) : data
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)
}

function convert(dtype: SourceDtype, data: Float32Array | Int32Array): ArrayBufferView {
  if (data instanceof Int32Array) return BigInt64Array.from(data, BigInt)
  if (dtype === 'F64') return Float64Array.from(data)
  return dtype === 'F16' ? narrowToF16(data) : narrowToBf16(data)
}
