/**
 * Reads safetensors, and exports the writer (safetensors_writer.ts) for `shadowllm/io/safetensors`.
 *
 * A file is eight bytes of header length, a JSON header, then the values of every tensor without a gap.
 *
 * Invariants, all checked before a value is read: no key twice, every offset and size an exact integer, every span
 * the product of shape and element size, and the spans cover the data exactly once. So the memory of this reader is
 * bounded by the size of the file. Nothing in a file is executed.
 *
 * It accepts white space before the "{" of the header, as the reference implementation does, and unaligned values.
 *
 * @module
 */
import { elementSize, isSourceDtype } from '../tensor/dtypes.ts'
import type { InputError } from '../tensor/errors.ts'
import { storedSource, type StoredTensor } from '../tensor/stored_source.ts'
import { rowsOf, type RawTensorSource, type TensorInfo } from '../tensor/tensor_source.ts'
import {
  bytesAsFile,
  openWith,
  readExactly,
  readParts,
  readUnchanged,
  TEXT_LIMIT,
  type RangedFile,
} from './files.ts'
import { describeJson, objectOf, parseJson, refuseJson, type JsonValue } from './json.ts'
import { quote, refusal, refuseTensor } from './refusal.ts'
import { byteLengthOf, checkTensorName } from './tensor_name.ts'

export {
  readIntegers,
  type RawTensorSource,
  type TensorInfo,
  type StoredRows,
} from '../tensor/tensor_source.ts'
export {
  encodeSafetensors,
  streamSafetensors,
  writeSafetensors,
  type Metadata,
  type TensorForm,
  type TensorsToWrite,
  type TensorToWrite,
} from './safetensors_writer.ts'

/** A tensor and the span of its values, in bytes from the start of the data. */
interface Entry {
  readonly info: TensorInfo
  readonly begin: number
  readonly end: number
}

/** The header's length comes first, as eight bytes. */
const LENGTH_BYTES = 8

/** {"name": {"shape": [1]}} has three levels; one more allows a clearer message for a wrong value. */
const HEADER_DEPTH = 4

/**
 * Opens a safetensors file and reads its header alone: `tensors` lists names, types and shapes; `read` gives the values of one tensor as
 * float32, `readRaw` the stored bytes. Close it. A file in memory is read by `parseSafetensors`.
 * @param path of the file
 * @throws InputError FILE_* (see `openFile`), SAFETENSORS_*, TENSOR_*, JSON_*.
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { openSafetensors } from 'shadowllm/io/safetensors'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const source = await openSafetensors(opt.weightsFile)
 * for (const [name, { dtype, shape }] of source.tensors) console.log(name, dtype, shape.join(' x '))
 * console.log((await source.read('model.decoder.final_layer_norm.weight')).slice(0, 3))
 * await source.close()
 * await opt.dispose()
 * ```
 */
export function openSafetensors(path: string): Promise<RawTensorSource> {
  return openWith(path, (file) => readSafetensors(file, path))
}

/**
 * Reads a safetensors file that is in memory, such as a download, as `openSafetensors` reads one of the disk.
 * @param bytes the whole file, which must not change while it is read
 * @param name stands in errors
 * @throws InputError as `openSafetensors`.
 */
export function parseSafetensors(bytes: Uint8Array, name = 'safetensors'): Promise<RawTensorSource> {
  return readSafetensors(bytesAsFile(bytes), name)
}

/**
 * Reads a safetensors file through a file that is open, such as one of a page; `openSafetensors` takes a path. Only the header is read
 * here; the file stays open until the source is closed.
 * @param name stands in errors
 * @throws InputError as `openSafetensors`.
 */
export async function readSafetensors(file: RangedFile, name: string): Promise<RawTensorSource> {
  const headerLength = await readHeaderLength(file, name)
  const dataStart = LENGTH_BYTES + headerLength
  const text = await readUnchanged(file, LENGTH_BYTES, headerLength, name)
  const { metadata, entries } = parseHeader(text, file.size - dataStart, name)
  const stored = new Map<string, StoredTensor>()
  for (const { info, begin } of entries) {
    const start = dataStart + begin
    const rowLength = rowsOf(info.shape).columns * elementSize(info.dtype)
    stored.set(info.name, {
      info,
      rows: (first, count) => readUnchanged(file, start + first * rowLength, count * rowLength, name),
      parts: (length) => readParts(file, start, info.byteLength, length, name),
    })
  }
  return storedSource(name, stored, metadata, () => file.close())
}

async function readHeaderLength(file: RangedFile, name: string): Promise<number> {
  if (file.size < LENGTH_BYTES) {
    throw refusal('SAFETENSORS_SHORT', name, 'at least 8 bytes', `${file.size}`, { byteOffset: 0 })
  }
  const bytes = await readExactly(file, 0, LENGTH_BYTES, name)
  const length = new DataView(bytes.buffer).getBigUint64(0, true)
  if (length > BigInt(TEXT_LIMIT)) {
    const expected = `a safetensors header of at most ${TEXT_LIMIT} bytes`
    throw refusal('SAFETENSORS_HEADER_LIMIT', name, expected, `${length}`, { byteOffset: 0 })
  }
  if (Number(length) > file.size - LENGTH_BYTES) {
    const expected = `a header within the ${file.size} bytes of the file`
    throw refusal('SAFETENSORS_HEADER_LENGTH', name, expected, `${length} bytes`, { byteOffset: 0 })
  }
  return Number(length)
}

function parseHeader(
  text: Uint8Array,
  dataLength: number,
  name: string,
): { metadata: Map<string, string>; entries: Entry[] } {
  const options = { maxDepth: HEADER_DEPTH, numbers: 'integers', byteOffset: LENGTH_BYTES } as const
  const subject = `${name} header`
  const header = parseJson(text, subject, options)
  const json = objectOf(header, 'SAFETENSORS_HEADER', subject, { byteOffset: LENGTH_BYTES })
  const entries: Entry[] = []
  for (const [tensor, description] of json) {
    if (tensor !== '__metadata__') entries.push(readEntry(tensor, description, name))
  }
  checkSpans(entries, dataLength, name)
  return { metadata: readMetadata(json.get('__metadata__'), name), entries }
}

function readMetadata(json: JsonValue | undefined, name: string): Map<string, string> {
  const metadata = new Map<string, string>()
  if (json === undefined) return metadata
  const subject = `${name} __metadata__`
  for (const [key, value] of objectOf(json, 'SAFETENSORS_METADATA', subject)) {
    if (typeof value !== 'string')
      throw refuseJson('SAFETENSORS_METADATA', `${subject} ${quote(key)}`, 'text', value)
    metadata.set(key, value)
  }
  return metadata
}

const FIELDS = ['dtype', 'shape', 'data_offsets']

function readEntry(tensor: string, description: JsonValue, file: string): Entry {
  const refuse = (code: string, expected: string, got: string): InputError =>
    refuseTensor(code, file, tensor, expected, got)
  /** The JSON reader accepts only exact integers. */
  const integersOf = (list: JsonValue | undefined, field: string): number[] => {
    if (Array.isArray(list) && list.every((item): item is number => typeof item === 'number')) return list
    const wrong = Array.isArray(list) ? list.find((item) => typeof item !== 'number') : list
    throw refuse('SAFETENSORS_HEADER', `a list of integers as ${field}`, describeJson(wrong))
  }
  checkTensorName(tensor, file)
  if (!(description instanceof Map))
    throw refuse('SAFETENSORS_HEADER', 'an object', describeJson(description))
  if (description.size !== FIELDS.length || !FIELDS.every((field) => description.has(field))) {
    const got = [...description.keys()].slice(0, 5).map(quote).join(', ')
    throw refuse('SAFETENSORS_HEADER', 'dtype, shape and data_offsets', got || 'nothing')
  }
  const dtype = description.get('dtype')
  if (!isSourceDtype(dtype)) throw refuse('SAFETENSORS_DTYPE', 'an element type', describeJson(dtype))
  const shape = integersOf(description.get('shape'), 'shape')
  const [begin, end, ...more] = integersOf(description.get('data_offsets'), 'data_offsets')
  if (end === undefined || more.length > 0 || begin > end) {
    const got = `[${[begin, end, ...more].slice(0, 5).join(', ')}]`
    throw refuse('SAFETENSORS_OFFSETS', '[begin, end]', got)
  }
  const byteLength = byteLengthOf(dtype, shape, () => `${file} tensor ${quote(tensor)}`)
  if (end - begin !== byteLength) {
    const expected = `${byteLength} bytes for ${dtype} [${shape.join(', ')}]`
    throw refuse('SAFETENSORS_SPAN', expected, `${end - begin}`)
  }
  return { info: { name: tensor, dtype, shape, byteLength }, begin, end }
}

/** Every byte of the data belongs to exactly one tensor. */
function checkSpans(entries: readonly Entry[], dataLength: number, file: string): void {
  let covered = 0
  for (const { info, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    const refuse = (code: string, expected: string, got: string): InputError =>
      refuseTensor(code, file, info.name, expected, got)
    if (begin !== covered) {
      const code = begin < covered ? 'SAFETENSORS_OVERLAP' : 'SAFETENSORS_HOLE'
      throw refuse(code, `a begin at ${covered}, the end of the previous tensor`, `${begin}`)
    }
    if (end > dataLength)
      throw refuse('SAFETENSORS_TRUNCATED', `an end by ${dataLength}`, `${end}: the file is cut`)
    covered = end
  }
  if (covered < dataLength) {
    throw refusal('SAFETENSORS_TRAILING', file, `${covered} bytes of tensors`, `${dataLength - covered} more`)
  }
}
