/**
 * The interface of every backend.
 *
 * A backend owns buffers of numbers and runs the ops of the catalogue on them. `ops.<name>` takes the arrays and scalars of
 * the definition in src/ops/<name>.ts, in the same order, with buffers for arrays. Sizes follow from the shapes of the
 * buffers; a size that no array has is the last argument. Where weights may be stored in several ways, their storage
 * chooses the kernel. Calls happen in order; only reads wait. Shapes, kinds of numbers and index
 * ranges are checked before a kernel runs (checked_ops.ts); inside, kernels trust them.
 *
 * Objects that hold buffers are disposed of, also by `using`. The reference below declares that for compilers with an older
 * `lib`.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import type { catalog, KernelName, OpName } from '../ops/catalog.ts'
import type { Dtype, Numbers } from '../ops/op.ts'
import { nameOption, orWord, wholeOption, type NameOption, type OptionRecord } from '../tensor/option.ts'

/** The backends a user can name. Those with `cuda` need an NVIDIA GPU, but for the emulated ones. */
export const backendNames = [
  /** The definition of every operation, in TypeScript: slow, and what all others are compared with. */
  'reference',
  /** WebAssembly SIMD; gives the bits of the reference. */
  'wasm',
  /** WebAssembly with relaxed SIMD, whose multiply-adds may leave products unrounded. */
  'wasm-relaxed',
  /** The strict kernels from another compiler, Rust's; gives the bits of the reference. */
  'wasm-rust',
  /** CUDA kernels that give the bits of the reference. */
  'cuda',
  /** CUDA kernels that also add in an order of their own, within bounds. */
  'cuda-fast',
  /** The kernels of `cuda` on the processor, slowly, if the emulator has been built. */
  'cuda-emulated',
  /** The kernels of `cuda-fast` on the processor, in the same way. */
  'cuda-fast-emulated',
  /** WebGPU: Deno and browsers have it, Node has it from the package `webgpu`. Gives the bits of the reference. */
  'webgpu',
  /** WebGPU that also adds in an order of its own; `webgpu` means it where an adapter does not keep the float contract. */
  'webgpu-fast',
] as const

/** The name of a backend. */
export type BackendName = (typeof backendNames)[number]

/**
 * A set of kernels. `exact` gives the bits of the definitions. The others owe bounds of the catalogue: multiply-adds of `relaxed`
 * may leave their products unrounded, and `fast` also adds in an order of its own.
 */
export type KernelSet = 'exact' | 'relaxed' | 'fast'

/** The backends with another set than the exact one. */
const boundedSets: Partial<Record<BackendName, KernelSet>> = {
  'wasm-relaxed': 'relaxed',
  'cuda-fast': 'fast',
  'cuda-fast-emulated': 'fast',
  'webgpu-fast': 'fast',
}

/** The set of kernels of a backend. */
export function kernelSet(backend: BackendName): KernelSet {
  return boundedSets[backend] ?? 'exact'
}

/** Backends for which this is the same give the same bits: they may share work, and take turns in a text. */
export function bitsOf(backend: BackendName): string {
  return kernelSet(backend) === 'exact' ? 'exact' : backend
}

export const backendOption: NameOption<BackendName> = nameOption('BACKEND_NAME', backendNames)

/** More threads than 32 have nothing to share. */
export const threadsOption: OptionRecord<number | 'auto'> = orWord('auto', wholeOption('THREADS', 1, 32))

/** Whether `wasm` may use vectors of 32 bytes. */
export const wideOption: NameOption<'on' | 'off'> = nameOption('WIDE', ['on', 'off'])

/** How a backend is started. */
export interface BackendOptions {
  /** How many threads may compute, or as many as suit this machine; default 1. */
  readonly threads?: number | 'auto'
  /**
   * Which calls threads share: those that were measured to be faster that way, under the current load of the machine (the
   * default), or all that can be cut.
   */
  readonly sharing?: 'measured' | 'always'
  /** Whether repeated launches are submitted to a device as graphs; default true. Results are the same. */
  readonly graphs?: boolean
}

/** The threads of a backend, and what was measured of them. */
export interface ThreadReport {
  /** The number of started threads, the caller's included. */
  readonly threads: number
  /** The kinds of calls that were measured. */
  readonly calls: readonly CallReport[]
}

/** Measurements of calls of one kernel and about one size. */
export interface CallReport {
  readonly op: KernelName
  /** Multiply-adds of a call, about. */
  readonly work: number
  /** Whether threads share such calls now. */
  readonly shared: boolean
  /** Speed of shared calls as a multiple of that on one thread; null if sharing was never tried. */
  readonly gain: number | null
}

/** What a WebGPU adapter allows. */
export interface AdapterLimits {
  /** The most bytes of a binding. Larger matrices stand in several. */
  readonly bindingBytes: number
  /** The most bindings of a kernel. */
  readonly bindings: number
  /** Whether shaders may compute in half precision, and share numbers in a subgroup. No kernel needs either. */
  readonly f16: boolean
  readonly subgroups: boolean
}

/** A block of numbers inside a backend, row-major. Opaque: only its backend can look into it. */
export interface Buffer {
  readonly dtype: Dtype
  readonly shape: readonly number[]
  /** How many numbers it holds: the product of its dimensions. */
  readonly length: number
}

/** Numbers of int8, and one factor for each row. */
export interface Int8Buffer {
  readonly values: Buffer
  readonly scales: Buffer
}

/** Numbers with a row per unit that are scaled by blocks of rows, and the block of each row. */
export interface BlockBuffer extends Int8Buffer {
  readonly blocks: Buffer
}

/** An array that has parts. */
export type ScaledBuffer = Int8Buffer | BlockBuffer

/** The name of a part. */
export type BufferPart = keyof BlockBuffer

/** An array in any storage. What has scales has them with it. */
export type StoredBuffer = Buffer | ScaledBuffer

/** The arguments of an op, with arrays replaced by buffers. */
export type CallArguments<Args extends readonly unknown[]> = {
  [I in keyof Args]: Args[I] extends Numbers
    ? BufferOf<Args[I]>
    : Args[I] extends Numbers | null
      ? Buffer | null
      : Args[I]
}

/** The buffer for an array of any kind, of stored weights, and of one kind. */
export type BufferOf<Array extends Numbers> = Int32Array extends Array
  ? Buffer
  : Int8Array extends Array
    ? StoredBuffer
    : Buffer

/** Every op of the catalogue as a function of buffers. */
export type Ops = {
  readonly [Name in OpName]: (typeof catalog)[Name] extends { readonly call?: (...args: infer Args) => void }
    ? (...args: CallArguments<Args>) => void
    : never
}

/** Buffers, and every op of the catalogue on them. */
export interface Backend {
  readonly name: BackendName
  /** The device it computes on, in words; absent where backends of its kind have none but the processor. */
  readonly device?: string
  /** What that device allows, where it is an adapter of WebGPU. */
  readonly limits?: AdapterLimits
  /** Why it has another name, with other kernels, than was asked for; null or absent if it has that name. */
  readonly notExact?: string | null
  readonly ops: Ops
  /** Buffers allocated and not yet freed; 0 after every well-behaved piece of work. */
  readonly liveBuffers: number
  /** The threads it computes on. */
  readonly threads: ThreadReport

  /**
   * Another backend of this kind with an empty memory and as many threads, for models that do not fit into one memory. It is
   * disposed of separately.
   */
  sibling(): Backend
  /**
   * A new buffer of zeros, or uninitialised (`anything`): the caller must write it first. Clearing takes half as long as a
   * copy.
   * @param shape its dimensions, row-major
   * @param contents default: zeros
   * @throws MissingError BACKEND_MEMORY if there is no room; UsageError SIZE for a dimension that is no whole number from 0
   */
  allocate(dtype: Dtype, shape: readonly number[], contents?: 'zeros' | 'anything'): Buffer
  /**
   * A new buffer holding these numbers. Int32 buffers never change afterwards, except as outputs of an op.
   * @param shape default: one dimension
   * @param dtype bf16 or f16 for a Uint16Array; the type of other arrays is known
   * @param values are copied, row-major
   * @throws UsageError BUFFER_KIND if that is missing or not so, SIZE for a shape of another count; MissingError
   *   BACKEND_MEMORY
   */
  upload(values: Numbers, shape?: readonly number[], dtype?: Dtype): Buffer
  /**
   * Overwrites part of a buffer with numbers of its kind, which is not int32, from `start` on.
   * @param values of which there may be no more than the buffer has from there on; `start` is 0 by default
   */
  write(buffer: Buffer, values: Numbers, start?: number): void
  /** Sets a buffer, which is not of int32, to +0. */
  zero(buffer: Buffer): void
  /**
   * The numbers of a buffer from `start` on, in another shape: a view, which lives as long as the buffer and is never freed
   * by itself. Default: from the first on.
   * @param shape the dimensions of the view
   * @throws UsageError SIZE if they do not lie inside the buffer
   */
  view(buffer: Buffer, shape: readonly number[], start?: number): Buffer
  /** A copy of the numbers of a buffer: bit patterns for half precision. */
  read(buffer: Buffer): Numbers
  /**
   * `read` of each buffer, with one wait for all.
   * @param buffers of this backend
   */
  readAll(buffers: readonly Buffer[]): Numbers[]
  /** A copy of the numbers of a float32 buffer. */
  readF32(buffer: Buffer): Float32Array
  /** A copy of the numbers of an int32 buffer. */
  readI32(buffer: Buffer): Int32Array
  /** Gives a buffer's memory back; its views must not be used afterwards. @throws UsageError BUFFER_FREED */
  free(buffer: Buffer): void
  /**
   * Milliseconds that a device computed since the last call, by its own clock; the first call gives 0. Waits until the device
   * is done. Absent for backends without a device.
   * @throws MissingError CUDA_CALL
   */
  deviceTime?(): number
  /** Frees everything. Later calls throw UsageError BACKEND_DISPOSED. */
  dispose(): void
}
