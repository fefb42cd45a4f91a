/**
 * Reads checkpoints that torch.save wrote (`pytorch_model.bin`), in the format since torch 1.6 (`torch_zip.ts`) or the
 * older one (`torch_legacy.ts`).
 *
 * Nothing in a file is executed (see `pickle.ts`). Invariants, checked before a value is read: the pickle is a dict of tensors; each
 * storage exists with the declared length and type; each tensor is inside its storage (`torch_views.ts`).
 */
import { checkFloat, decodeFloats } from '../tensor/dtypes.ts'
import { InputError } from '../tensor/errors.ts'
import {
  checkRows,
  rowsInParts,
  type RawTensorSource,
  type StoredRows,
  type TensorInfo,
} from '../tensor/tensor_source.ts'
import { bytesAsFile, openWith, readExactly, type RangedFile } from './files.ts'
import { PICKLE_LIMIT, unpickle } from './pickle.ts'
import { quote, refusal } from './refusal.ts'
import { readTorchLegacy, startsLegacy } from './torch_legacy.ts'
import { readRowsOfView, readView, streamView, type TensorView } from './torch_views.ts'
import { readTorchZip } from './torch_zip.ts'

/** The first byte of a pickle of protocol 0 or 1 with an import. */
const OLD_PICKLE = /^\(*[ci][\w.]+\n[\w.]+\n/

/**
 * Opens a checkpoint; values are read on demand. Close it.
 *
 * Values are returned only after the checksum of their storage was checked. The check reads the whole storage, in small parts, so
 * the first rows of a tensor take an additional pass; later rows read their own bytes only. Rows of a view that is not row-major
 * are cut from the span between their first and last number.
 * @throws InputError FILE_* (see `openFile`), TORCH_*, TENSOR_*, PICKLE_*, ZIP_*.
 */
export function openTorchCheckpoint(path: string): Promise<RawTensorSource> {
  return openWith(path, (file) => readTorchCheckpoint(file, path))
}

/** A checkpoint in memory. @throws InputError as `openTorchCheckpoint`. */
export function parseTorchCheckpoint(bytes: Uint8Array, name = 'checkpoint'): Promise<RawTensorSource> {
  return readTorchCheckpoint(bytesAsFile(bytes), name)
}

/**
 * The source of an open checkpoint; it stays open until the source is closed. Only its description is read here.
 * @throws InputError as `openTorchCheckpoint`.
 */
export async function readTorchCheckpoint(file: RangedFile, name: string): Promise<RawTensorSource> {
  const start = await readExactly(file, 0, Math.min(file.size, 512), name)
  if (start[0] === 0x50 && start[1] === 0x4b)
    return new TorchSource(file, name, await readTorchZip(file, name))
  if (startsLegacy(start)) return new TorchSource(file, name, await readTorchLegacy(file, name))
  const pickled = start[0] === 0x80 || OLD_PICKLE.test(String.fromCharCode(...start))
  if (pickled) refuseImports(await readExactly(file, 0, Math.min(file.size, PICKLE_LIMIT), name), name)
  const got = pickled ? 'a bare pickle' : 'other bytes'
  throw refusal('TORCH_FORMAT', name, 'a checkpoint as torch.save writes it', got)
}

/** A bare pickle is no checkpoint; if it has an import, the error names that. */
function refuseImports(bytes: Uint8Array, name: string): void {
  try {
    unpickle(bytes, name)
  } catch (error) {
    if (!(error instanceof InputError) || error.code === 'PICKLE_GLOBAL') throw error
  }
}

class TorchSource implements RawTensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly metadata: ReadonlyMap<string, string> = new Map()
  private readonly file: RangedFile
  private readonly name: string
  private readonly views: ReadonlyMap<string, TensorView>

  constructor(file: RangedFile, name: string, views: ReadonlyMap<string, TensorView>) {
    this.file = file
    this.name = name
    this.views = views
    this.tensors = new Map([...views].map(([tensor, { info }]) => [tensor, info]))
  }

  async read(name: string): Promise<Float32Array> {
    const { info } = this.find(name)
    checkFloat(info.dtype, name) // before it is read
    return decodeFloats(info.dtype, await this.readRaw(name), name)
  }

  async readRows(name: string, first: number, count: number): Promise<Float32Array> {
    const view = this.find(name)
    checkFloat(view.info.dtype, name)
    checkRows(view.info, first, count)
    return decodeFloats(view.info.dtype, await readRowsOfView(view, first, count), name)
  }

  async readRaw(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return readView(this.find(name))
  }

  async *stream(name: string, partLength: number): AsyncGenerator<StoredRows> {
    const view = this.find(name)
    yield* rowsInParts(view.info, partLength, (length) => streamView(view, length))
  }

  close(): Promise<void> {
    return this.file.close()
  }

  private find(name: string): TensorView {
    const view = this.views.get(name)
    if (view !== undefined) return view
    throw refusal('TENSOR_MISSING', this.name, `tensor ${quote(name)}`, 'no such tensor', { tensor: name })
  }
}
