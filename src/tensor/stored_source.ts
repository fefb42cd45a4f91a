/**
 * A TensorSource over stored bytes: the checks and conversions that every file format shares.
 */
import { checkFloat, decodeFloats, elementSize, type SourceDtype } from './dtypes.ts'
import { InputError } from './errors.ts'
import { quote } from './quote.ts'
import { checkRows, rowsInParts, rowsOf, type RawTensorSource, type TensorInfo } from './tensor_source.ts'

/** A tensor as its file stores it: row-major, little-endian. */
export interface StoredTensor {
  readonly info: TensorInfo
  /** The bytes of rows `first` to `first + count`, which the tensor has, in a separate buffer. */
  readonly rows: (first: number, count: number) => Promise<Uint8Array<ArrayBuffer>>
  /** All bytes in parts of `length`, which is a multiple of a row. They are checked as `TensorSource.stream` says. */
  readonly parts: (length: number) => AsyncIterable<Uint8Array>
  /** Its blocks of a type in such parts, where it has them; a row is `rowLength` bytes. */
  readonly blocks?: { type: string; rowLength: number; parts: StoredTensor['parts'] }
}

/**
 * The source of these tensors.
 * @param name the name of the file in errors
 */
export function storedSource(
  name: string,
  stored: ReadonlyMap<string, StoredTensor>,
  metadata: ReadonlyMap<string, string>,
  close: () => Promise<void>,
): RawTensorSource {
  const find = (tensor: string): StoredTensor => {
    const found = stored.get(tensor)
    if (found !== undefined) return found
    const message = `${name}: expected tensor ${quote(tensor)}, got no such tensor`
    throw new InputError('TENSOR_MISSING', message, { tensor })
  }
  const all = ({ info, rows }: StoredTensor): Promise<Uint8Array<ArrayBuffer>> =>
    rows(0, rowsOf(info.shape).rows)
  return {
    tensors: new Map([...stored].map(([tensor, { info }]) => [tensor, info])),
    metadata,
    async read(tensor) {
      const found = find(tensor)
      checkFloat(found.info.dtype, tensor) // before it is read
      return decodeFloats(found.info.dtype, await all(found), tensor)
    },
    async readRows(tensor, first, count) {
      const { info, rows } = find(tensor)
      checkFloat(info.dtype, tensor)
      checkRows(info, first, count)
      return decodeFloats(info.dtype, await rows(first, count), tensor)
    },
    async readRaw(tensor) {
      return all(find(tensor))
    },
    async *stream(tensor, partLength) {
      const { info, parts } = find(tensor)
      yield* rowsInParts(info, rowsOf(info.shape).columns * elementSize(info.dtype), partLength, parts)
    },
    streamBlocks(tensor, type, partLength) {
      const { info, blocks } = find(tensor)
      return blocks?.type === type ? rowsInParts(info, blocks.rowLength, partLength, blocks.parts) : null
    },
    close,
  }
}

/** A tensor that is made whole when it is read. @param make its bytes */
export function madeTensor(
  name: string,
  shape: readonly number[],
  dtype: SourceDtype,
  make: () => Promise<Uint8Array<ArrayBuffer>>,
): StoredTensor {
  const { rows, columns } = rowsOf(shape)
  const rowLength = columns * elementSize(dtype)
  return {
    info: { name, dtype, shape, byteLength: rows * rowLength },
    rows: async (first, count) => (await make()).slice(first * rowLength, (first + count) * rowLength),
    parts: (length) => partsOf(make, length),
  }
}

/** What is made whole, in parts. */
export async function* partsOf(make: () => Promise<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  const bytes = await make()
  for (let done = 0; done < bytes.length; done += length) yield bytes.subarray(done, done + length)
}

/** From each of D rows the pieces of `length` bytes with these numbers; zeros for -1. */
export function gather(
  from: Uint8Array,
  D: number,
  taken: ArrayLike<number>,
  length: number,
): Uint8Array<ArrayBuffer> {
  const to = new Uint8Array(D * taken.length * length)
  const rowLength = from.length / D
  for (let d = 0, at = 0; d < D; d++)
    for (let i = 0; i < taken.length; i++, at += length) {
      const begin = d * rowLength + taken[i] * length
      if (taken[i] >= 0) to.set(from.subarray(begin, begin + length), at)
    }
  return to
}
