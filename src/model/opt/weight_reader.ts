/**
 * The parameters of a checkpoint as rows on their way to a backend: read a few megabytes at a time, judged, counted.
 *
 * The host holds a chunk or two of them at any time, however large the tensor is.
 */
import { InputError } from '../../tensor/errors.ts'
import type { Storage } from './matrix.ts'
import { rowsOf, type TensorInfo, type TensorSource } from '../../tensor/tensor_source.ts'

/** The most numbers in a chunk: 8 MiB of float32. A row that is longer is a chunk by itself. */
const CHUNK_LENGTH = 2 ** 21

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
  /** Accept NaN and infinity among the weights; in float32 only. */
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
export interface RowChunk {
  /** The place of its first number among those of the parameter. */
  readonly start: number
  readonly values: Float32Array
}

/** Reads parameters out of a checkpoint, each of them once. */
export class WeightReader {
  readonly #source: TensorSource
  readonly #stored: ReadonlyMap<string, TensorInfo>
  readonly #options: LoadOptions
  readonly #totalBytes: number
  #loadedBytes = 0

  /** @param stored the checkpoint's name of each parameter, by Hugging Face name (`matchTensors`) */
  constructor(source: TensorSource, stored: ReadonlyMap<string, string>, options: LoadOptions) {
    this.#source = source
    this.#stored = new Map([...stored].map(([name, own]) => [name, source.tensors.get(own) as TensorInfo]))
    this.#options = options
    this.#totalBytes = [...this.#stored.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  /**
   * One parameter from its first row to its last. A chunk counts as loaded when the next one is asked for.
   * @throws InputError WEIGHT_NOT_FINITE; what the source throws; the signal's reason
   */
  async *chunks(parameter: string): AsyncGenerator<RowChunk> {
    const { signal, onProgress, allowNonFinite } = this.#options
    const { name, shape, byteLength } = this.#stored.get(parameter) as TensorInfo
    const { rows, columns } = rowsOf(shape)
    const atOnce = Math.max(1, Math.floor(CHUNK_LENGTH / columns))
    for (let first = 0; first < rows; first += atOnce) {
      signal?.throwIfAborted()
      const count = Math.min(atOnce, rows - first)
      const start = first * columns
      const values = await this.#source.readRows(name, first, count)
      if (!allowNonFinite) refuseNonFinite(name, start, values)
      yield { start, values }
      this.#loadedBytes += (byteLength / rows) * count
      onProgress?.({ loadedBytes: this.#loadedBytes, totalBytes: this.#totalBytes, name })
    }
  }
}

function refuseNonFinite(name: string, start: number, values: Float32Array): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new InputError(
        'WEIGHT_NOT_FINITE',
        `${name}[${start + i}]: expected a finite number, got ${values[i]}`,
        { tensor: name },
      )
}
