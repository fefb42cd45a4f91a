/**
 * The tensors of a torch checkpoint as views of its storages, for both formats: checked before a value is read, then read by the
 * strides of the view.
 *
 * Each tensor is inside its storage and has no more elements than it, and the total size of tensors is bounded by a multiple of the
 * storages, so that a file cannot claim more memory than its own size. Storages may be shared, as torch does for tied weights.
 */
import { elementSize, type SourceDtype } from '../tensor/dtypes.ts'
import type { InputError } from '../tensor/errors.ts'
import type { StoredTensor } from '../tensor/stored_source.ts'
import { rowsOf, type TensorInfo } from '../tensor/tensor_source.ts'
import { describePickle, isKind, type PickleTensor, type PickleValue } from './pickle_values.ts'
import { quote, refusal, refuseTensor } from './refusal.ts'
import { byteLengthOf, checkTensorName } from './tensor_name.ts'

/** All tensors of a file together may be this many times its storages: tied weights are counted once per name. */
const MAX_SHARING = 4

/**
 * The spans of views that are not row-major together may be this many times the storages, because each is read whole: the columns
 * of one matrix as 64 tensors span it 64 times.
 */
const MAX_SPANS = 64

/** The bytes of one storage. */
export interface StorageBytes {
  readonly size: number
  /** A checked part of them. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>
  /** The same in parts, checked while they are read: the last part comes only if the checksum is right. */
  stream(offset: number, length: number, partLength: number): AsyncIterable<Uint8Array>
}

/** A storage of tensors. */
export interface UsedStorage {
  readonly key: string
  readonly dtype: SourceDtype
  /** The number of elements. */
  readonly length: number
  /** The name of its first tensor. */
  readonly tensor: string
}

/**
 * The tensors that a checkpoint's pickle describes.
 * @throws InputError TORCH_ENTRY for anything but tensors, TENSOR_NAME
 */
export function tensorsOf(value: PickleValue, name: string): Map<string, PickleTensor> {
  if (!isKind(value, 'dict')) throw refusal('TORCH_ENTRY', name, 'a dict of tensors', describePickle(value))
  const tensors = new Map<string, PickleTensor>()
  for (const [tensor, item] of value.items) {
    checkTensorName(tensor, name)
    if (!isKind(item, 'tensor'))
      throw refusal('TORCH_ENTRY', `${name} ${quote(tensor)}`, 'a tensor', describePickle(item), { tensor })
    tensors.set(tensor, item)
  }
  return tensors
}

/**
 * The storages of tensors, by key.
 * @throws InputError TORCH_STORAGE_TYPE if two tensors disagree about a key
 */
export function storagesOf(
  tensors: ReadonlyMap<string, PickleTensor>,
  name: string,
): Map<string, UsedStorage> {
  const storages = new Map<string, UsedStorage>()
  const meanings = new Map<string, string>()
  for (const [tensor, { storage }] of tensors) {
    const { key, dtype, length, view } = storage
    const said = [[key, `${dtype} of ${length}`]]
    if (view) said.push([view.key, `${dtype}, ${view.length} from ${view.offset} on of storage ${key}`])
    for (const [one, meaning] of said) {
      const known = meanings.get(one) ?? meaning
      if (known !== meaning) {
        const got = `${meaning} and ${known}`
        throw refuseTensor('TORCH_STORAGE_TYPE', name, tensor, `one meaning of key ${one}`, got)
      }
      meanings.set(one, meaning)
    }
    if (!storages.has(key)) storages.set(key, { key, dtype, length, tensor })
  }
  return storages
}

/**
 * Checks tensors against their storages, and their total size.
 * @param located the bytes of every storage of `storagesOf`, of the length said
 * @throws InputError TORCH_BOUNDS, TORCH_STRIDES, TORCH_EXPANDED, TORCH_SHARING, TENSOR_SHAPE, TENSOR_OVERFLOW
 */
export function judgeViews(
  tensors: ReadonlyMap<string, PickleTensor>,
  located: ReadonlyMap<string, StorageBytes>,
  name: string,
): Map<string, StoredTensor> {
  const views = new Map<string, StoredTensor>()
  const firsts = new Map<string, string>()
  let [asked, spanned] = [0, 0]
  for (const [tensor, value] of tensors) {
    const { key, dtype } = value.storage
    const { shape, strides } = value
    const { offset, byteLength } = judgeView(value, name, tensor)
    asked += byteLength
    if (!isRowMajor(shape, strides)) spanned += extentOf(shape, strides) * elementSize(dtype)
    const place = [key, offset, ...shape, 'by', ...strides].join(' ')
    const sameAs = firsts.get(place)
    if (sameAs === undefined) firsts.set(place, tensor)
    const info = { name: tensor, dtype, shape, byteLength, ...(sameAs === undefined ? {} : { sameAs }) }
    views.set(tensor, viewOf(info, located.get(key) as StorageBytes, offset, strides))
  }
  const stored = [...located.values()].reduce((sum, { size }) => sum + size, 0)
  if (asked > MAX_SHARING * stored) {
    const expected = `tensors of at most ${MAX_SHARING} times the ${stored} bytes of its storages`
    throw refusal('TORCH_SHARING', name, expected, `${asked}`)
  }
  if (spanned > MAX_SPANS * stored) {
    const expected = `views that span at most ${MAX_SPANS} times the ${stored} bytes of its storages`
    throw refusal('TORCH_SHARING', name, expected, `${spanned}`)
  }
  return views
}

/** The first element of a tensor in its storage, and its size in bytes. */
function judgeView(
  { storage, offset, shape, strides }: PickleTensor,
  name: string,
  tensor: string,
): { offset: number; byteLength: number } {
  const refuse = (code: string, expected: string, got: string): InputError =>
    refuseTensor(code, name, tensor, expected, got)
  const { dtype, view = { offset: 0, length: storage.length } } = storage
  if (!(view.offset + view.length <= storage.length)) {
    const got = `a view of it that ends at ${view.offset + view.length}`
    throw refuse('TORCH_BOUNDS', `elements within the ${storage.length} of its storage`, got)
  }
  const byteLength = byteLengthOf(dtype, shape, () => `${name} tensor ${quote(tensor)}`)
  if (strides.length !== shape.length)
    throw refuse('TORCH_STRIDES', `${shape.length} strides`, `${strides.length}`)
  const end = offset + extentOf(shape, strides)
  if (!(end <= view.length))
    throw refuse('TORCH_BOUNDS', `elements within the ${view.length} of its storage`, `an end at ${end}`)
  const count = byteLength / elementSize(dtype)
  if (count > view.length)
    throw refuse('TORCH_EXPANDED', `at most the ${view.length} elements of its storage`, `${count}`)
  return { offset: view.offset + offset, byteLength }
}

/** The span of a view in elements; 0 if it has none. Above 2^53 it is not exact, but above 2^53. */
function extentOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0
  return shape.reduce((extent, size, i) => extent + (size - 1) * strides[i], 1)
}

// ---- Reading one ----------------------------------------------------------------------------------------------

/**
 * A tensor as a view of a storage.
 * @param offset elements from the start of the storage to the first one of the tensor
 */
function viewOf(
  info: TensorInfo,
  storage: StorageBytes,
  offset: number,
  strides: readonly number[],
): StoredTensor {
  const size = elementSize(info.dtype)
  const [, ...rowShape] = info.shape
  // A scalar is one row.
  const [stride = 0, ...rowStrides] = strides
  const steps = [stride, ...rowStrides]
  const rows: StoredTensor['rows'] = async (first, count) => {
    const shape = [count, ...rowShape]
    const bytes = await storage.read((offset + first * stride) * size, extentOf(shape, steps) * size)
    return isRowMajor(shape, steps) ? bytes : gather(bytes, shape, steps, size)
  }
  return {
    info,
    rows,
    async *parts(length) {
      if (isRowMajor(info.shape, strides)) {
        yield* storage.stream(offset * size, info.byteLength, length)
        return
      }
      // In one piece, because each row could span nearly all of the storage.
      const all = await rows(0, rowsOf(info.shape).rows)
      for (let done = 0; done < all.length; done += length) yield all.subarray(done, done + length)
    },
  }
}

/** Whether elements are in row-major order without gaps; the stride of a dimension of 1 is ignored. */
function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true
  let expected = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false
    expected *= shape[i]
  }
  return true
}

/** Row-major copy of a strided view whose first element is the first of `bytes`. */
function gather(
  bytes: Uint8Array,
  shape: readonly number[],
  strides: readonly number[],
  size: number,
): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, length) => product * length, 1)
  const out = new Uint8Array(count * size)
  const index = shape.map(() => 0)
  let from = 0 // element of `bytes` that index points to
  for (let to = 0; to < count; to++) {
    for (let byte = 0; byte < size; byte++) out[to * size + byte] = bytes[from * size + byte]
    // The next index: the last dimension varies fastest.
    for (let i = shape.length - 1; i >= 0; i--) {
      from += strides[i]
      if (++index[i] < shape[i]) break
      from -= strides[i] * shape[i]
      index[i] = 0
    }
  }
  return out
}
