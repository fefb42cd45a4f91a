/**
 * Reads checkpoints that torch.save wrote (`pytorch_model.bin`): a zip archive with a pickle that describes tensors
 * and one entry per storage.
 *
 * Nothing in a file is run (see `pickle.ts`). Invariants checked before a value is read: the pickle is a dict of
 * tensors; each storage is there with exactly the length and type said; each tensor lies within its storage and has
 * no more elements than it, so a file cannot ask for more memory than its own size. Storages may be shared: that is
 * how torch writes tied weights. The format before torch 1.6, which is no zip, is refused by name.
 */
import { decodeFloats, checkFloat, elementSize } from '../tensor/dtypes.ts'
import { InputError } from '../tensor/errors.ts'
import { checkRows, type RawTensorSource, type TensorInfo } from '../tensor/tensor_source.ts'
import { bytesAsFile, openWith, readExactly, type RangedFile } from './files.ts'
import { unpickle } from './pickle.ts'
import { describePickle, isKind, type PickleStorage, type PickleTensor } from './pickle_values.ts'
import { quote, refusal } from './refusal.ts'
import { byteLengthOf, checkTensorName } from './tensor_name.ts'
import { openZip, type ZipArchive, type ZipEntry } from './zip.ts'

/** The largest pickle that is read; that of a model with 10,000 tensors is a hundredth of it. */
const PICKLE_LIMIT = 64_000_000

/** All tensors of a file together may be this many times its storages: tied weights are counted once per name. */
const MOST_SHARING = 4

/** The pickle of the number that began files before torch 1.6. */
const LEGACY_START = [
  0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
]

/** How a pickle of protocol 0 or 1 that imports something begins. */
const OLD_PICKLE = /^\(*[ci][\w.]+\n[\w.]+\n/

/**
 * Opens a checkpoint; values are read when they are asked for. Close it.
 *
 * No value is given out before the checksum of its storage was found right. That takes the whole storage, so the first
 * rows of a tensor cost one more pass over it, in small parts; later rows cost their own bytes. Rows of a view that does
 * not lie in row-major order are cut from all that lies between their first number and their last.
 * @throws InputError FILE_* (see `openFile`), TORCH_*, TENSOR_*, PICKLE_*, ZIP_*.
 */
export function openTorchCheckpoint(path: string): Promise<RawTensorSource> {
  return openWith(path, (file) => readTorchCheckpoint(file, path))
}

/** A checkpoint in memory. @throws InputError as `openTorchCheckpoint`. */
export function parseTorchCheckpoint(bytes: Uint8Array, name = 'checkpoint'): Promise<RawTensorSource> {
  return readTorchCheckpoint(bytesAsFile(bytes), name)
}

/** A tensor and where its elements lie. */
interface Entry {
  readonly info: TensorInfo
  readonly tensor: PickleTensor
  readonly storage: ZipEntry
}

/**
 * A checkpoint that is open already; it stays open until the source is closed. Only its description is read here.
 * @throws InputError as `openTorchCheckpoint`.
 */
export async function readTorchCheckpoint(file: RangedFile, name: string): Promise<RawTensorSource> {
  await checkStart(file, name)
  const archive = await openZip(file, name)
  const root = findRoot(archive, name)
  const pickle = archive.entries.get(`${root}data.pkl`) as ZipEntry
  if (pickle.size > PICKLE_LIMIT) {
    throw refusal('TORCH_LIMIT', `${name} data.pkl`, `at most ${PICKLE_LIMIT} bytes`, `${pickle.size}`)
  }
  await checkByteOrder(archive, root, name)
  const value = unpickle(await archive.read(pickle), `${name} data.pkl`)
  if (!isKind(value, 'dict')) throw refusal('TORCH_ENTRY', name, 'a dict of tensors', describePickle(value))
  const entries = new Map<string, Entry>()
  const judge = new StorageJudge(archive, root, name)
  for (const [tensor, item] of value.items) {
    checkTensorName(tensor, name)
    if (!isKind(item, 'tensor')) {
      throw refusal('TORCH_ENTRY', `${name} ${quote(tensor)}`, 'a tensor', describePickle(item), { tensor })
    }
    entries.set(tensor, judge.judge(tensor, item))
  }
  judge.finish()
  return new TorchSource(file, name, archive, entries)
}

/** A file that is no zip is told apart: the old format, a bare pickle, or neither. */
async function checkStart(file: RangedFile, name: string): Promise<void> {
  const start = await readExactly(file, 0, Math.min(file.size, 512), name)
  if (start[0] === 0x50 && start[1] === 0x4b) return
  if (LEGACY_START.every((byte, i) => start[i] === byte)) {
    const expected = 'the zip format of torch 1.6 or newer (load and save it once with such a torch)'
    throw refusal('TORCH_LEGACY', name, expected, 'the older one')
  }
  const pickled = start[0] === 0x80 || OLD_PICKLE.test(String.fromCharCode(...start))
  if (pickled) refuseImports(await readExactly(file, 0, Math.min(file.size, PICKLE_LIMIT), name), name)
  const got = pickled ? 'a bare pickle' : 'other bytes'
  throw refusal('TORCH_FORMAT', name, 'a zip archive as torch.save writes it', got)
}

/** A bare pickle is no checkpoint; but if it would import something, that is what must be said of it. */
function refuseImports(bytes: Uint8Array, name: string): void {
  try {
    unpickle(bytes, name)
  } catch (error) {
    if (!(error instanceof InputError) || error.code === 'PICKLE_GLOBAL') throw error
  }
}

/** The folder that holds everything, with its "/": torch names it after the file. */
function findRoot(archive: ZipArchive, name: string): string {
  const pickles = [...archive.entries.keys()].filter((entry) => /(?:^|\/)data\.pkl$/.test(entry))
  if (pickles.length !== 1) {
    throw refusal('TORCH_PICKLE', name, 'one data.pkl', pickles.length === 0 ? 'none' : `${pickles.length}`)
  }
  const [root] = /^[^/]+\/(?=data\.pkl$)/.exec(pickles[0]) ?? []
  const stray = [...archive.entries.keys()].find((entry) => root === undefined || !entry.startsWith(root))
  if (root === undefined || stray !== undefined) {
    throw refusal(
      'TORCH_PICKLE',
      name,
      'everything in one folder, beside data.pkl',
      quote(stray ?? pickles[0]),
    )
  }
  if ([...archive.entries.keys()].some((entry) => entry.startsWith(`${root}code/`))) {
    throw refusal('TORCH_SCRIPT', name, 'a checkpoint of tensors', 'a TorchScript program')
  }
  return root
}

async function checkByteOrder(archive: ZipArchive, root: string, name: string): Promise<void> {
  const entry = archive.entries.get(`${root}byteorder`)
  if (entry === undefined) return // before torch 2.1 it was not written, and always little
  const order = new TextDecoder().decode(await archive.read(entry, 0, Math.min(entry.size, 16)))
  if (order !== 'little' || entry.size !== 6) throw refusal('TORCH_BYTEORDER', name, '"little"', quote(order))
}

/** Judges tensors against their storages, and how much they ask for together. */
class StorageJudge {
  private readonly archive: ZipArchive
  private readonly root: string
  private readonly name: string
  private readonly storages = new Map<string, PickleStorage>()
  private readonly views = new Map<string, string>()
  private stored = 0
  private asked = 0

  constructor(archive: ZipArchive, root: string, name: string) {
    this.archive = archive
    this.root = root
    this.name = name
  }

  judge(tensor: string, value: PickleTensor): Entry {
    const { storage, offset, shape, strides } = value
    const refuse = (code: string, expected: string, got: string): InputError =>
      refusal(code, `${this.name} tensor ${quote(tensor)}`, expected, got, { tensor })
    const entry = this.findStorage(storage, refuse)
    const byteLength = byteLengthOf(storage.dtype, shape, () => `${this.name} tensor ${quote(tensor)}`)
    if (strides.length !== shape.length) {
      throw refuse('TORCH_STRIDES', `${shape.length} strides`, `${strides.length}`)
    }
    const end = offset + extentOf(shape, strides)
    if (!(end <= storage.length)) {
      throw refuse('TORCH_BOUNDS', `elements within the ${storage.length} of its storage`, `an end at ${end}`)
    }
    const count = byteLength / elementSize(storage.dtype)
    if (count > storage.length) {
      throw refuse('TORCH_EXPANDED', `at most the ${storage.length} elements of its storage`, `${count}`)
    }
    this.asked += byteLength
    const view = [storage.key, offset, ...shape, 'by', ...strides].join(' ')
    const sameAs = this.views.get(view)
    if (sameAs === undefined) this.views.set(view, tensor)
    const info = {
      name: tensor,
      dtype: storage.dtype,
      shape,
      byteLength,
      ...(sameAs === undefined ? {} : { sameAs }),
    }
    return { info, tensor: value, storage: entry }
  }

  /** @throws InputError TORCH_SHARING if all tensors together are much more than the storages. */
  finish(): void {
    if (this.asked <= MOST_SHARING * this.stored) return
    const expected = `tensors of at most ${MOST_SHARING} times the ${this.stored} bytes of its storages`
    throw refusal('TORCH_SHARING', this.name, expected, `${this.asked}`)
  }

  private findStorage(
    storage: PickleStorage,
    refuse: (code: string, expected: string, got: string) => InputError,
  ): ZipEntry {
    const { key, dtype, length } = storage
    const entry = this.archive.entries.get(`${this.root}data/${key}`)
    if (entry === undefined) throw refuse('TORCH_STORAGE_MISSING', `storage ${key}`, 'no such entry')
    const known = this.storages.get(key)
    if (known !== undefined && (known.dtype !== dtype || known.length !== length)) {
      const got = `${dtype} of ${length} and ${known.dtype} of ${known.length}`
      throw refuse('TORCH_STORAGE_TYPE', `one type and length for storage ${key}`, got)
    }
    if (length * elementSize(dtype) !== entry.size) {
      throw refuse(
        'TORCH_STORAGE_SIZE',
        `${length} elements of ${dtype} in storage ${key}`,
        `${entry.size} bytes`,
      )
    }
    if (known === undefined) {
      this.storages.set(key, storage)
      this.stored += entry.size
    }
    return entry
  }
}

/** Elements from the first of a view to past its last; 0 if it has none. Past 2^53 it is not exact, but past 2^53. */
function extentOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0
  return shape.reduce((extent, size, i) => extent + (size - 1) * strides[i], 1)
}

class TorchSource implements RawTensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string> = new Map()
  private readonly file: RangedFile
  private readonly name: string
  private readonly archive: ZipArchive
  private readonly entries: ReadonlyMap<string, Entry>

  constructor(file: RangedFile, name: string, archive: ZipArchive, entries: ReadonlyMap<string, Entry>) {
    this.file = file
    this.name = name
    this.archive = archive
    this.entries = entries
    this.tensors = new Map([...entries].map(([tensor, { info }]) => [tensor, info]))
  }

  async read(name: string): Promise<Float32Array> {
    const { info } = this.find(name)
    checkFloat(info.dtype, name) // before it is read
    return decodeFloats(info.dtype, await this.readRaw(name), name)
  }

  async readRows(name: string, first: number, count: number): Promise<Float32Array> {
    const { info, tensor, storage } = this.find(name)
    checkFloat(info.dtype, name)
    checkRows(info, first, count)
    return decodeFloats(info.dtype, await this.readView(rowsOfView(tensor, first, count), storage), name)
  }

  async readRaw(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const { tensor, storage } = this.find(name)
    return this.readView(tensor, storage)
  }

  close(): Promise<void> {
    return this.file.close()
  }

  private async readView(view: PickleTensor, storage: ZipEntry): Promise<Uint8Array<ArrayBuffer>> {
    const size = elementSize(view.storage.dtype)
    const extent = extentOf(view.shape, view.strides)
    const bytes = await this.archive.read(storage, view.offset * size, extent * size)
    return isContiguous(view) ? bytes : gather(bytes, view, size)
  }

  private find(name: string): Entry {
    const entry = this.entries.get(name)
    if (entry !== undefined) return entry
    throw refusal('TENSOR_MISSING', this.name, `tensor ${quote(name)}`, 'no such tensor', { tensor: name })
  }
}

/** Some rows of a view: the same storage, read from further on. A view of no dimensions is one row. */
function rowsOfView(view: PickleTensor, first: number, count: number): PickleTensor {
  const [, ...shape] = view.shape
  const [stride = 0, ...strides] = view.strides
  return {
    ...view,
    offset: view.offset + first * stride,
    shape: [count, ...shape],
    strides: [stride, ...strides],
  }
}

/** Whether elements lie in row-major order without gaps; the stride of a dimension of 1 does not matter. */
function isContiguous({ shape, strides }: PickleTensor): boolean {
  if (shape.includes(0)) return true
  let expected = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false
    expected *= shape[i]
  }
  return true
}

/** Row-major copy of a strided view whose first element is the first of `bytes`. */
function gather(bytes: Uint8Array, { shape, strides }: PickleTensor, size: number): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, length) => product * length, 1)
  const out = new Uint8Array(count * size)
  const index = shape.map(() => 0)
  let from = 0 // element of `bytes` that index points to
  for (let to = 0; to < count; to++) {
    for (let byte = 0; byte < size; byte++) out[to * size + byte] = bytes[from * size + byte]
    // The next index, the last dimension first, as on a counter.
    for (let i = shape.length - 1; i >= 0; i--) {
      from += strides[i]
      if (++index[i] < shape[i]) break
      from -= strides[i] * shape[i]
      index[i] = 0
    }
  }
  return out
}
