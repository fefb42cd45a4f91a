/**
 * The interface by which tensors are read by name, independent of the file format.
 *
 * The engine depends on this interface and on no file format; io implements it for safetensors and torch checkpoints. Values
 * are read as float32: F16 and BF16 widen exactly.
 */
import { decodeIntegers, type SourceDtype } from './dtypes.ts'
import { UsageError } from './errors.ts'

export type { SourceDtype } from './dtypes.ts'

/** The description of a tensor. */
export interface TensorInfo {
  readonly name: string
  readonly dtype: SourceDtype
  readonly shape: readonly number[]
  /** Size of the values in bytes, in this type. */
  readonly byteLength: number
  /** How the file has them, where that is not this type: blocks of a quantised type. */
  readonly stored?: { readonly type: string; readonly byteLength: number }
  /** The tensor of the file, where units that its layer lacks are handed out as zeros. */
  readonly inFile?: Pick<TensorInfo, 'shape' | 'byteLength' | 'stored'>
  /** For tied weights: an earlier tensor of the same file with the same stored values. */
  readonly sameAs?: string
}

/** Complete rows of a tensor, as stored: row-major, little-endian. */
export interface StoredRows {
  /** The index of the first row. */
  readonly first: number
  /** Valid until the next rows are requested. */
  readonly bytes: Uint8Array
}

/** Tensors by name. */
export interface TensorSource {
  /** Every tensor by name, in file order. Nothing is read. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /**
   * The values of one tensor as float32, row-major.
   * @param name of the tensor
   * @throws InputError TENSOR_MISSING if there is no such tensor, DTYPE if it is not F32, F16, BF16 or F64.
   */
  read(name: string): Promise<Float32Array>
  /**
   * Rows `first` to `first + count` of one tensor as the table of `rowsOf`. The result, or the error, is that of `read`, but
   * only these rows are in memory.
   * @param name of the tensor
   * @throws UsageError ROW_RANGE if the tensor does not have these rows; InputError as `read`.
   */
  readRows(name: string, first: number, count: number): Promise<Float32Array>
  /**
   * The stored values of one tensor from its first row to its last, in parts of at most `partLength` bytes, or one row
   * if that is longer; nothing if it has no rows. They are checked while they are read: if the iteration throws, earlier
   * parts must not be used.
   * @param name of the tensor
   * @throws InputError as `read`, except DTYPE
   */
  stream(name: string, partLength: number): AsyncIterable<StoredRows>
  /**
   * The same as blocks of a type of GGUF, for a tensor that the file has as such; null for others. A source need not have it.
   * @param name of the tensor
   * @param type such as `Q4_0`
   * @param partLength as in `stream`
   * @throws InputError as `stream`
   */
  streamBlocks?(name: string, type: string, partLength: number): AsyncIterable<StoredRows> | null
  /** Closes the file. */
  close(): Promise<void>
}

/** A source that also gives the stored bytes and the metadata of the file. */
export interface RawTensorSource extends TensorSource {
  /** The metadata: text by key; empty if the format has none. */
  readonly metadata: ReadonlyMap<string, string>
  /**
   * The stored values of one tensor, row-major, little-endian, in a separate buffer.
   * @param name of the tensor
   * @throws InputError TENSOR_MISSING if there is no such tensor.
   */
  readRaw(name: string): Promise<Uint8Array<ArrayBuffer>>
}

/** Gives `work` what is opened, and closes it whatever comes of the work. @throws what either throws */
export async function closing<Open extends { close(): Promise<void> }, Result>(
  opening: Open | Promise<Open>,
  work: (open: Open) => Result | Promise<Result>,
): Promise<Result> {
  const open = await opening
  try {
    return await work(open)
  } finally {
    await open.close()
  }
}

/**
 * A tensor as the table [shape[0], product of the others]. A tensor of one dimension has rows of one number; a scalar is one
 * such row.
 */
export function rowsOf(shape: readonly number[]): { rows: number; columns: number } {
  const [rows = 1, ...rest] = shape
  return { rows, columns: rest.reduce((product, size) => product * size, 1) }
}

/** Cuts a stream of a tensor's bytes into complete rows. @param rowLength bytes of a row */
export async function* rowsInParts(
  { shape }: TensorInfo,
  rowLength: number,
  partLength: number,
  stream: (partLength: number) => AsyncIterable<Uint8Array>,
): AsyncGenerator<StoredRows> {
  if (rowLength === 0 || shape.includes(0)) return
  let first = 0
  for await (const bytes of stream(rowLength * Math.max(1, Math.floor(partLength / rowLength)))) {
    yield { first, bytes }
    first += bytes.length / rowLength
  }
}

/**
 * Checks that a tensor has rows `first` to `first + count`; `count` may be 0.
 * @throws UsageError ROW_RANGE
 */
export function checkRows({ name, shape }: TensorInfo, first: number, count: number): void {
  const { rows } = rowsOf(shape)
  if (Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 0 && first + count <= rows)
    return
  throw new UsageError(
    'ROW_RANGE',
    `${name}: expected rows inside 0..${rows}, got ${first}..${first + count}`,
    {
      tensor: name,
    },
  )
}

/**
 * Reads one tensor of whole numbers, such as token ids, labels or flags, as int32; `read` of a source is for fractions.
 * @param name of the tensor
 * @throws InputError TENSOR_MISSING, DTYPE if it is not I64, I32, I16, I8, U8 or BOOL, VALUE_RANGE past 32 bits.
 */
export async function readIntegers(source: RawTensorSource, name: string): Promise<Int32Array> {
  const bytes = await source.readRaw(name)
  const { dtype } = source.tensors.get(name) as TensorInfo
  return decodeIntegers(dtype, bytes, name)
}
