/**
 * The parameters of a checkpoint as rows on their way to a backend: read a few megabytes at a time, judged, counted.
 *
 * The host holds a chunk or two of them at any time, however large the tensor is. Numbers that the file has in the storage
 * they are wanted in go as they are; others go as float32.
 */
import { decodeFloats, elementSize, findNonFinite } from '../tensor/dtypes.ts'
import { InputError } from '../tensor/errors.ts'
import type { Storage } from './matrix.ts'
import { areFinite, BLOCK_BYTES, blocksOf, dequantizeBlocks } from '../tensor/int4.ts'
import {
  rowsOf,
  type SourceDtype,
  type StoredRows,
  type TensorInfo,
  type TensorSource,
} from '../tensor/tensor_source.ts'

/** Stored bytes in a chunk: few enough to stay in a cache on their way. A row that is longer is a chunk by itself. */
const CHUNK_BYTES = 2 ** 21

/** How the numbers of a storage lie in a file, where a file can have them. */
const sameInFile: Readonly<Record<Storage, SourceDtype | null>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  int8: null,
  int4: null,
}

/** The least size of a number that would become infinite in a storage. */
const infiniteFrom: Partial<Record<Storage, number>> = {
  f16: 65_520,
  bf16: 2 ** 128 - 2 ** 119,
  int4: 65_520,
}

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

/** Consecutive whole rows of a parameter, as Hugging Face stores them. */
export interface RowChunk<Values = Float32Array | Uint16Array> {
  /** The place of its first number among those of the parameter. */
  readonly start: number
  /** float32, or patterns of the half precision that was asked for; good until the next chunk is asked for. */
  readonly values: Values
}

/** Rows for int4: numbers, or blocks that the file has. */
export type BlockChunk = RowChunk<Float32Array | Uint32Array>

/** Reads parameters out of a checkpoint, each of them once. */
export class WeightReader {
  readonly #source: TensorSource
  readonly #stored: ReadonlyMap<string, TensorInfo>
  readonly #options: LoadOptions
  readonly #totalBytes: number
  #loadedBytes = 0
  /** Where halves are widened, chunk after chunk. */
  #room: Float32Array | undefined

  /** @param stored the checkpoint's name of each parameter, by Hugging Face name (`matchTensors`) */
  constructor(source: TensorSource, stored: ReadonlyMap<string, string>, options: LoadOptions) {
    this.#source = source
    this.#stored = new Map([...stored].map(([name, own]) => [name, source.tensors.get(own) as TensorInfo]))
    this.#options = options
    this.#totalBytes = [...this.#stored.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  /**
   * One parameter from its first row to its last, for a storage. A chunk counts as loaded when the next one is asked for.
   * @throws InputError WEIGHT_NOT_FINITE, WEIGHT_RANGE for a number that the storage has no room for, DTYPE; what the source
   *   throws; the signal's reason
   */
  async *chunks(parameter: string, storage: Storage): AsyncGenerator<RowChunk> {
    const { signal, onProgress, allowNonFinite } = this.#options
    const { name, shape, dtype } = this.#stored.get(parameter) as TensorInfo
    const { columns } = rowsOf(shape)
    signal?.throwIfAborted()
    for await (const { first, bytes } of this.#source.stream(name, CHUNK_BYTES)) {
      signal?.throwIfAborted()
      const start = first * columns
      const asStored = dtype === sameInFile[storage] && bytes.byteOffset % elementSize(dtype) === 0
      const values =
        asStored && elementSize(dtype) === 2
          ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
          : this.#widen(dtype, bytes, name)
      if (!allowNonFinite) {
        const judged = values instanceof Uint16Array ? dtype : 'F32'
        const at = findNonFinite(judged, values)
        if (at >= 0) throw notFinite(name, start + at, judged, values.subarray(at, at + 1))
        if (values instanceof Float32Array) checkRange(name, start, values, storage)
      }
      yield { start, values }
      this.#loadedBytes += bytes.length
      onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes, name })
    }
  }

  /**
   * The same for int4: as blocks where the file has them, which are not rounded again.
   * @throws as `chunks`
   */
  async *blocks(parameter: string): AsyncGenerator<BlockChunk> {
    const { name } = this.#stored.get(parameter) as TensorInfo
    const parts = this.#source.streamBlocks?.(name, CHUNK_BYTES)
    if (parts) yield* this.#readBlocks(parts, parameter)
    else yield* this.chunks(parameter, 'int4') as AsyncGenerator<RowChunk<Float32Array>>
  }

  async *#readBlocks(parts: AsyncIterable<StoredRows>, parameter: string): AsyncGenerator<BlockChunk> {
    const { name, shape } = this.#stored.get(parameter) as TensorInfo
    const { columns } = rowsOf(shape)
    const rowLength = blocksOf(columns) * BLOCK_BYTES
    for await (const { first, bytes } of parts) {
      this.#options.signal?.throwIfAborted()
      const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
      const values = new Uint32Array(buffer, byteOffset, bytes.length / 4)
      const rows = bytes.length / rowLength
      if (!areFinite(values)) {
        const numbers = dequantizeBlocks(values, rows, columns)
        const at = numbers.findIndex((value) => !Number.isFinite(value))
        if (at >= 0) throw notFinite(name, first * columns + at, 'F32', numbers.subarray(at, at + 1))
      }
      yield { start: first * columns, values }
      this.#loadedBytes += rows * columns * Float32Array.BYTES_PER_ELEMENT
      this.#options.onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes, name })
    }
  }

  #widen(dtype: SourceDtype, bytes: Uint8Array, name: string): Float32Array {
    if (elementSize(dtype) === 2) this.#room ??= new Float32Array(CHUNK_BYTES / 2)
    return decodeFloats(dtype, bytes, name, this.#room)
  }
}

/** @throws InputError WEIGHT_RANGE */
function checkRange(tensor: string, start: number, values: Float32Array, storage: Storage): void {
  const limit = infiniteFrom[storage] ?? Infinity
  if (limit === Infinity) return
  for (let i = 0; i < values.length; i++)
    if (Math.abs(values[i]) >= limit)
      throw new InputError(
        'WEIGHT_RANGE',
        `${tensor}[${start + i}]: expected a number below ${limit} in size to be stored as ${storage}, got ${values[i]}`,
        { tensor },
      )
}

function notFinite(
  tensor: string,
  at: number,
  dtype: SourceDtype,
  one: Float32Array | Uint16Array,
): InputError {
  const bytes = new Uint8Array(one.buffer, one.byteOffset, one.byteLength)
  const [value] = decodeFloats(dtype, bytes, tensor)
  return new InputError('WEIGHT_NOT_FINITE', `${tensor}[${at}]: expected a finite number, got ${value}`, {
    tensor,
  })
}
