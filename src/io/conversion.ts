/**
 * What is converted, how, and to what (convert.ts).
 */
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import type { Format } from './gguf_formats.ts'
import type { WrittenFile } from './staged_output.ts'

/** A checkpoint in the form of Hugging Face. */
export interface Checkpoint {
  /** The fields of config.json. */
  readonly configJson: Readonly<Record<string, unknown>>
  readonly source: RawTensorSource
}

/** What an output can say of a model; nothing more than the form of Hugging Face unless it is said. */
export interface OutputForm {
  /** Whether layers may have different numbers of units. */
  readonly layersDiffer?: boolean
  /** Numbers of neurons are multiples of it, or all of a layer; default 1. */
  readonly multiple?: number
}

/** Options of a conversion. */
export interface ConvertOptions {
  /** Changes the checkpoint before it is written. The result's source closes that of the input. */
  readonly change?: (from: Checkpoint, form: OutputForm) => Checkpoint | Promise<Checkpoint>
  /** Of the matrices of a GGUF file; default F32. */
  readonly type?: Format
  /** The maximal size of a file in bytes, unless one tensor is larger; several files have an index. */
  readonly shardSize?: number
  /** Whether to replace existing files. */
  readonly force?: boolean
  /** Cancels the conversion and removes its files. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { doneBytes: number; totalBytes: number; name: string }) => void
}

/** The result of a conversion. */
export interface Conversion {
  /** The files of the output, in the order in which they were moved. */
  readonly files: readonly WrittenFile[]
  readonly tensors: number
  /** Bytes of tensors. */
  readonly bytes: number
  /** Tensors that shared their stored values with another one; they were written separately. */
  readonly repeated: readonly string[]
  /** The tied lm_head, if it was left out. */
  readonly leftOut: readonly string[]
}
