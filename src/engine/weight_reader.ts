/**
 * The parameters of a checkpoint as rows on their way to a backend: read a few megabytes at a time, judged, counted.
 *
 * The host holds a chunk or two of them at any time, however large the tensor is. Numbers that the file has in the storage
 * they are wanted in go as they are; others go as float32.
 */
import { decodeFloats, elementSize, findNonFinite } from '../tensor/dtypes.ts'
import { InputError } from '../tensor/errors.ts'
import { rowsOf, type SourceDtype, type TensorInfo, type TensorSource } from '../tensor/tensor_source.ts'
import type { StoredParameter } from './names.ts'
import type { Storage } from './storages/index.ts'
import type { RowChunk, StorageRecord } from './storages/storage.ts'

/** Stored bytes in a chunk: few enough to stay in a cache on their way. A row that is longer is a chunk by itself. */
const CHUNK_BYTES = 2 ** 21

/** How far a load has come. */
export interface LoadProgress {
  /** Bytes of the checkpoint that are loaded, and of all it has that the model needs. */
  readonly loadedBytes: number
  readonly totalBytes: number
  /** The tensor the last of them belong to, as the checkpoint calls it. */
  readonly name: string
}

/** How a load is watched, and what it accepts. */
export interface LoadOptions {
  /** Ends the load between two chunks; what was uploaded is freed. */
  readonly signal?: AbortSignal
  /** Called after each chunk of a few megabytes, at least once per tensor. */
  readonly onProgress?: (progress: LoadProgress) => void
  /** Accept NaN and infinity among the weights; in float32 only. What is multiplied by an input of zero may be left out. */
  readonly allowNonFinite?: boolean
  /** What matrices are stored as; default f32. Every other storage rounds the values of the checkpoint to it. */
  readonly storage?: Storage
  /**
   * Bytes of weights that one backend holds at most; blocks beyond it are placed in backends of their own. Default
   * 1.75 GiB, which leaves as much for packed weights in the 4 GiB that one WebAssembly memory has.
   */
  readonly bytesPerBackend?: number
}

/** Reads parameters out of a checkpoint, each of them once; a tensor that holds several as often as it has to. */
export class WeightReader {
  readonly #source: TensorSource
  readonly #stored: ReadonlyMap<string, StoredParameter>
  readonly #options: LoadOptions
  readonly #totalBytes: number
  #loadedBytes = 0
  /** Where halves are widened, chunk after chunk. */
  #room: Float32Array | undefined

  /** @param stored where the checkpoint has each parameter, by Hugging Face name (`matchTensors`) */
  constructor(source: TensorSource, stored: ReadonlyMap<string, StoredParameter>, options: LoadOptions) {
    this.#source = source
    this.#stored = stored
    this.#options = options
    const names = new Set([...stored.values()].map(({ name }) => name))
    this.#totalBytes = [...names].reduce((sum, name) => sum + fileBytes(this.#infoOf(name)), 0)
  }

  /**
   * One parameter from its first row to its last, for a storage: as blocks where the file has them as the storage does, with its
   * offset added. A chunk counts as loaded when the next one is asked for.
   * @throws InputError WEIGHT_NOT_FINITE, WEIGHT_RANGE for a number that the storage has no room for, DTYPE; what the source
   *   throws; the signal's reason
   */
  async *chunks(parameter: string, storage: StorageRecord, offset = 0): AsyncGenerator<RowChunk> {
    const { signal, onProgress, allowNonFinite } = this.#options
    const { name, first: begin, rows: count } = this.#stored.get(parameter) as StoredParameter
    const info = this.#infoOf(name)
    const { shape, dtype } = info
    const bytesPerRow = fileBytes(info) / rowsOf(shape).rows
    const { columns } = rowsOf(shape)
    const { blocksInFile: blocks, inFile } = storage
    const ofBlocks = blocks && (this.#source.streamBlocks?.(name, blocks.type, CHUNK_BYTES) ?? null)
    signal?.throwIfAborted()
    const rowLength = ofBlocks ? storage.rowBytes(columns, 'outputs') : columns * elementSize(dtype)
    for await (const part of ofBlocks ?? this.#source.stream(name, CHUNK_BYTES)) {
      signal?.throwIfAborted()
      // The last of several parameters reads its tensor to the end.
      if (part.first >= begin + count) break
      // Of a tensor that holds several parameters, the rows of this one.
      const first = Math.max(part.first, begin)
      const end = Math.min(part.first + part.bytes.length / rowLength, begin + count)
      if (first >= end) continue
      const bytes = part.bytes.subarray((first - part.first) * rowLength, (end - part.first) * rowLength)
      const start = first * columns
      const values = ofBlocks
        ? wordsOf(bytes)
        : dtype === inFile && elementSize(dtype) === 2 && bytes.byteOffset % 2 === 0
          ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
          : this.#widen(dtype, bytes, name)
      if (values instanceof Uint32Array) {
        if (blocks && !blocks.areFinite(values))
          checkFinite(name, start, 'F32', blocks.widen(values, end - first, columns))
      } else if (!allowNonFinite) {
        checkFinite(name, start, values instanceof Uint16Array ? dtype : 'F32', values)
        if (values instanceof Float32Array) checkRange(name, start, values, storage)
      }
      yield {
        start: start - begin * columns,
        values: offset === 0 ? values : (values as Float32Array).map((value) => offset + value),
      }
      this.#loadedBytes += (end - first) * bytesPerRow
      onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes, name })
    }
  }

  #infoOf(tensor: string): TensorInfo {
    return this.#source.tensors.get(tensor) as TensorInfo
  }

  #widen(dtype: SourceDtype, bytes: Uint8Array, name: string): Float32Array {
    if (elementSize(dtype) === 2) this.#room ??= new Float32Array(CHUNK_BYTES / 2)
    return decodeFloats(dtype, bytes, name, this.#room)
  }
}

/** Bytes of a tensor in its file. */
const fileBytes = ({ stored, byteLength }: TensorInfo): number => stored?.byteLength ?? byteLength

/** Whole blocks as words. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Uint32Array(buffer, byteOffset, length / 4)
}

/** @throws InputError WEIGHT_RANGE */
function checkRange(
  tensor: string,
  start: number,
  values: Float32Array,
  { name, infiniteFrom: limit }: StorageRecord,
): void {
  if (limit === Infinity) return
  for (let i = 0; i < values.length; i++)
    if (Math.abs(values[i]) >= limit)
      throw new InputError(
        'WEIGHT_RANGE',
        `${tensor}[${start + i}]: expected a number below ${limit} in size to be stored as ${name}, got ${values[i]}`,
        { tensor },
      )
}

/** @throws InputError WEIGHT_NOT_FINITE */
function checkFinite(
  tensor: string,
  start: number,
  dtype: SourceDtype,
  values: Float32Array | Uint16Array,
): void {
  const at = findNonFinite(dtype, values)
  if (at < 0) return
  const one = values.subarray(at, at + 1)
  const [value] = decodeFloats(dtype, new Uint8Array(one.buffer, one.byteOffset, one.byteLength), tensor)
  const message = `${tensor}[${start + at}]: expected a finite number, got ${value}`
  throw new InputError('WEIGHT_NOT_FINITE', message, { tensor })
}
