/**
 * Torch checkpoints since torch 1.6: a zip archive with a pickle that describes tensors and one entry per storage.
 */
import { elementSize } from '../tensor/dtypes.ts'
import type { StoredTensor } from '../tensor/stored_source.ts'
import type { RangedFile } from './files.ts'
import { PICKLE_LIMIT, unpickle } from './pickle.ts'
import { quote, refusal, refuseTensor } from './refusal.ts'
import { judgeViews, storagesOf, tensorsOf, type StorageBytes, type UsedStorage } from './torch_views.ts'
import { openZip, type ZipArchive, type ZipEntry } from './zip.ts'

/**
 * The tensors of an archive; only its description is read.
 * @throws InputError TORCH_*, TENSOR_*, PICKLE_*, ZIP_*, FILE_*
 */
export async function readTorchZip(file: RangedFile, name: string): Promise<Map<string, StoredTensor>> {
  const archive = await openZip(file, name)
  const root = findRoot(archive, name)
  const pickle = archive.entries.get(`${root}data.pkl`) as ZipEntry
  if (pickle.size > PICKLE_LIMIT) {
    throw refusal('TORCH_LIMIT', `${name} data.pkl`, `at most ${PICKLE_LIMIT} bytes`, `${pickle.size}`)
  }
  await checkByteOrder(archive, root, name)
  const tensors = tensorsOf(unpickle(await archive.read(pickle), `${name} data.pkl`), name)
  const located = new Map<string, StorageBytes>()
  for (const storage of storagesOf(tensors, name).values())
    located.set(storage.key, locate(archive, root, storage, name))
  return judgeViews(tensors, located, name)
}

/** The top folder of the archive, with its "/"; torch names it after the file. */
function findRoot(archive: ZipArchive, name: string): string {
  const pickles = [...archive.entries.keys()].filter((entry) => /(?:^|\/)data\.pkl$/.test(entry))
  if (pickles.length !== 1) {
    throw refusal('TORCH_PICKLE', name, 'one data.pkl', pickles.length === 0 ? 'none' : `${pickles.length}`)
  }
  const [root] = /^[^/]+\/(?=data\.pkl$)/.exec(pickles[0]) ?? []
  const stray = [...archive.entries.keys()].find((entry) => root === undefined || !entry.startsWith(root))
  if (root === undefined || stray !== undefined) {
    const expected = 'everything in one folder, beside data.pkl'
    throw refusal('TORCH_PICKLE', name, expected, quote(stray ?? pickles[0]))
  }
  if ([...archive.entries.keys()].some((entry) => entry.startsWith(`${root}code/`))) {
    throw refusal('TORCH_SCRIPT', name, 'a checkpoint of tensors', 'a TorchScript program')
  }
  return root
}

async function checkByteOrder(archive: ZipArchive, root: string, name: string): Promise<void> {
  const entry = archive.entries.get(`${root}byteorder`)
  if (entry === undefined) return // torch before 2.1 does not write it; the order is always little
  const order = new TextDecoder().decode(await archive.read(entry, 0, Math.min(entry.size, 16)))
  if (order !== 'little' || entry.size !== 6) throw refusal('TORCH_BYTEORDER', name, '"little"', quote(order))
}

function locate(
  archive: ZipArchive,
  root: string,
  { key, dtype, length, tensor }: UsedStorage,
  name: string,
): StorageBytes {
  const entry = archive.entries.get(`${root}data/${key}`)
  if (entry === undefined)
    throw refuseTensor('TORCH_STORAGE_MISSING', name, tensor, `storage ${key}`, 'no such entry')
  if (length * elementSize(dtype) !== entry.size) {
    const expected = `${length} elements of ${dtype} in storage ${key}`
    throw refuseTensor('TORCH_STORAGE_SIZE', name, tensor, expected, `${entry.size} bytes`)
  }
  return {
    size: entry.size,
    read: (offset, byteLength) => archive.read(entry, offset, byteLength),
    stream: (offset, byteLength, partLength) => archive.stream(entry, offset, byteLength, partLength),
  }
}
