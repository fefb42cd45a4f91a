/**
 * Reads checkpoints that torch.save wrote (`pytorch_model.bin`), in the format since torch 1.6 (`torch_zip.ts`) or the
 * older one (`torch_legacy.ts`).
 *
 * Nothing in a file is executed (see `pickle.ts`). Invariants, checked before a value is read: the pickle is a dict of tensors; each
 * storage exists with the declared length and type; each tensor is inside its storage (`torch_views.ts`).
 */
import { InputError } from '../tensor/errors.ts'
import { storedSource } from '../tensor/stored_source.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import { openWith, readExactly, type RangedFile } from './files.ts'
import { PICKLE_LIMIT, unpickle } from './pickle.ts'
import { refusal } from './refusal.ts'
import { readTorchLegacy, startsLegacy } from './torch_legacy.ts'
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

/**
 * The source of an open checkpoint; it stays open until the source is closed. Only its description is read here.
 * @throws InputError as `openTorchCheckpoint`.
 */
export async function readTorchCheckpoint(file: RangedFile, name: string): Promise<RawTensorSource> {
  const start = await readExactly(file, 0, Math.min(file.size, 512), name)
  const isZip = start[0] === 0x50 && start[1] === 0x4b
  if (isZip || startsLegacy(start)) {
    const stored = await (isZip ? readTorchZip(file, name) : readTorchLegacy(file, name))
    return storedSource(name, stored, new Map(), () => file.close())
  }
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
