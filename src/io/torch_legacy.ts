/**
 * Torch checkpoints before torch 1.6, which newer versions can still write: five pickles, then the storages.
 *
 *   1  the number 0x1950a86a20f9469cfc6c, the magic number of the format
 *   2  1001, the version of the format
 *   3  a dict about the machine that wrote it; only little_endian is used
 *   4  the dict of tensors; their storages have keys, and may be parts of others
 *   5  a list of the keys, in the order in which the storages follow
 *   -  for each key: the number of its elements as eight bytes, then the elements
 *
 * The format has no directory, no lengths of pickles and no checksum. So the file is unambiguous only if every byte belongs to one
 * of these parts: keys and tensors refer to the same storages, each count equals that of the tensors, and the last storage ends
 * with the file. The pickles are read by `pickle.ts`.
 */
import { elementSize } from '../tensor/dtypes.ts'
import { InputError } from '../tensor/errors.ts'
import type { StoredTensor } from '../tensor/stored_source.ts'
import { checkUnchanged, readExactly, readParts, readUnchanged, type RangedFile } from './files.ts'
import { PICKLE_LIMIT, unpickleAt } from './pickle.ts'
import { describePickle, isKind, isStorageKey, makeLegacyStorage, type PickleValue } from './pickle_values.ts'
import { quote, refusal, refuseTensor } from './refusal.ts'
import { judgeViews, storagesOf, tensorsOf, type StorageBytes, type UsedStorage } from './torch_views.ts'

/** The first pickle, byte for byte. */
const START = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]

const VERSION = 1001

/** The bytes that are read first for the pickles; doubled while they are longer. */
const FIRST_WINDOW = 2 ** 16

/** Bytes of the count before a storage. */
const COUNT_BYTES = 8

/** Whether a file with these first bytes has this format. */
export function startsLegacy(start: Uint8Array): boolean {
  return START.every((byte, i) => start[i] === byte)
}

/**
 * The tensors of a file for which `startsLegacy` holds; only its description is read.
 * @throws InputError TORCH_*, TENSOR_*, PICKLE_*, FILE_*
 */
export async function readTorchLegacy(file: RangedFile, name: string): Promise<Map<string, StoredTensor>> {
  const pickles = pickleReader(file, name)
  checkVersion(await pickles.next(), name)
  checkMachine(await pickles.next(), name)
  const tensors = tensorsOf(await pickles.next(), name)
  const storages = storagesOf(tensors, name)
  const keys = readKeys(await pickles.next(), storages, name)
  const located = await locateStorages(file, name, pickles.end(), keys)
  await checkUnchanged(file, name)
  return judgeViews(tensors, located, name)
}

/** Reads consecutive pickles, after the first one. `end` is the end of the last one. */
function pickleReader(
  file: RangedFile,
  name: string,
): { readonly end: () => number; readonly next: () => Promise<PickleValue> } {
  let end = START.length
  let window = new Uint8Array(0)
  const extend = async (length: number): Promise<void> => {
    window = await readExactly(file, 0, Math.min(length, PICKLE_LIMIT, file.size), name)
  }
  /** Whether a pickle may be truncated only by the end of the window. */
  const isCut = ({ code }: InputError): boolean =>
    (code === 'PICKLE_TRUNCATED' || code === 'PICKLE_TEXT') && window.length < file.size

  /** @throws InputError PICKLE_*; TORCH_LIMIT if all together are too long */
  const next = async (): Promise<PickleValue> => {
    if (window.length === 0) await extend(FIRST_WINDOW)
    for (;;) {
      try {
        const pickle = unpickleAt(window, name, end, makeLegacyStorage)
        end = pickle.end
        return pickle.value
      } catch (error) {
        if (!(error instanceof InputError) || !isCut(error)) throw error
        if (window.length === PICKLE_LIMIT)
          throw refusal('TORCH_LIMIT', name, `pickles of at most ${PICKLE_LIMIT} bytes`, 'more')
        await extend(2 * window.length)
      }
    }
  }
  return { end: () => end, next }
}

function checkVersion(value: PickleValue, name: string): void {
  if (value !== VERSION)
    throw refusal('TORCH_LEGACY_VERSION', name, `version ${VERSION} of the format`, describePickle(value))
}

function checkMachine(value: PickleValue, name: string): void {
  if (!isKind(value, 'dict'))
    throw refusal('TORCH_LEGACY_MACHINE', name, 'the dict of the machine', describePickle(value))
  checkVersion(value.items.get('protocol_version') ?? VERSION, name)
  const order = value.items.get('little_endian')
  if (order !== true)
    throw refusal('TORCH_BYTEORDER', name, 'little_endian to be True', describePickle(order))
}

/** The storages in the order of the file. @throws InputError TORCH_LEGACY_KEYS if its list is not that of the storages in use */
function readKeys(
  value: PickleValue,
  storages: ReadonlyMap<string, UsedStorage>,
  name: string,
): UsedStorage[] {
  const refuse = (expected: string, got: string): InputError =>
    refusal('TORCH_LEGACY_KEYS', `${name} list of storages`, expected, got)
  if (!isKind(value, 'list')) throw refuse('a list of keys', describePickle(value))
  const ordered = new Set<UsedStorage>()
  for (const key of value.items) {
    if (!isStorageKey(key)) throw refuse('keys in digits', describePickle(key))
    const storage = storages.get(key)
    // Only a tensor tells the size of its elements.
    if (storage === undefined) throw refuse('keys of storages that tensors use', quote(key))
    if (ordered.has(storage)) throw refuse('each key once', `${quote(key)} twice`)
    ordered.add(storage)
  }
  for (const storage of storages.values()) {
    const { key, tensor } = storage
    if (!ordered.has(storage))
      throw refuseTensor('TORCH_STORAGE_MISSING', name, tensor, `storage ${key}`, 'no such key in the list')
  }
  return [...ordered]
}

/** The positions of storages that begin at `start` and end with the file. */
async function locateStorages(
  file: RangedFile,
  name: string,
  start: number,
  storages: readonly UsedStorage[],
): Promise<Map<string, StorageBytes>> {
  const located = new Map<string, StorageBytes>()
  let at = start
  for (const { key, dtype, length, tensor } of storages) {
    const size = length * elementSize(dtype)
    if (!(at + COUNT_BYTES + size <= file.size)) {
      const got = `${Math.max(0, file.size - at)} before the end`
      const expected = `${COUNT_BYTES + size} bytes of storage ${key}`
      throw refuseTensor('TORCH_LEGACY_TRUNCATED', name, tensor, expected, got)
    }
    const count = new DataView((await readExactly(file, at, COUNT_BYTES, name)).buffer).getBigInt64(0, true)
    if (count !== BigInt(length)) {
      const expected = `${length} elements in storage ${key}`
      throw refuseTensor('TORCH_STORAGE_SIZE', name, tensor, expected, `a count of ${count}`)
    }
    const begin = at + COUNT_BYTES
    located.set(key, {
      size,
      read: (offset, byteLength) => readUnchanged(file, begin + offset, byteLength, name),
      stream: (offset, byteLength, partLength) =>
        readParts(file, begin + offset, byteLength, partLength, name),
    })
    at = begin + size
  }
  if (at === file.size) return located
  const got = `${file.size - at} bytes more`
  throw refusal('TORCH_LEGACY_TRAILING', name, 'the end of the file after the last storage', got, {
    byteOffset: at,
  })
}
