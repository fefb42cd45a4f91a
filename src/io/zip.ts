/**
 * Reads zip archives as torch writes them, with uncompressed entries only.
 *
 * Two readers of the same zip may see different files: the directory and the entry headers may disagree, entries may overlap, and
 * bytes may be hidden between them. So only unambiguous archives are accepted: the archive begins with the first entry and ends with
 * the end record; entries follow each other without gaps; directory and headers agree; names are unique and safe; content matches
 * its CRC-32. Uncompressed entries cannot be larger than the archive, so zip bombs are impossible.
 */
import { crc32 } from '../platform/platform.ts'
import type { InputError } from '../tensor/errors.ts'
import { checkUnchanged, readExactly, readParts, type RangedFile } from './files.ts'
import { quote, refusal } from './refusal.ts'
import * as directory from './zip_directory.ts'
import type { ZipEntry, ZipRecord } from './zip_directory.ts'

export type { ZipEntry } from './zip_directory.ts'

/** An archive whose structure has been checked. */
export interface ZipArchive {
  /** Every entry by name, in the order of the directory. */
  readonly entries: ReadonlyMap<string, ZipEntry>
  /**
   * Part of an entry, or all of it. The first read of an entry checks its checksum.
   * @throws InputError ZIP_CRC, FILE_CHANGED.
   */
  read(entry: ZipEntry, offset?: number, length?: number): Promise<Uint8Array<ArrayBuffer>>
  /**
   * The same in parts. A whole entry is checked while it is read, and its last part comes only if the checksum is right; for a
   * part of an entry, the first read checks the checksum before.
   * @throws InputError as `read`
   */
  stream(entry: ZipEntry, offset: number, length: number, partLength: number): AsyncIterable<Uint8Array>
}

const LOCAL_LENGTH = 30
/** The size of a read for the checksum. */
const PART_LENGTH = 2 ** 22

/** An entry and the position of its bytes. */
interface Place extends ZipRecord {
  readonly dataOffset: number
}

/**
 * Opens an archive.
 * @throws InputError ZIP_*; PATH_UNSAFE for the name of an entry.
 */
export async function openZip(file: RangedFile, name: string): Promise<ZipArchive> {
  const end = await directory.readEnd(file, name)
  const records = await directory.readDirectory(file, name, end)
  const places = await checkLayout(file, name, records, end.offset)
  await checkUnchanged(file, name)
  return storedArchive(file, name, places)
}

function storedArchive(file: RangedFile, name: string, places: ReadonlyMap<string, Place>): ZipArchive {
  const checked = new Set<string>()
  const placeOf = (entry: ZipEntry): Place => places.get(entry.name) as Place

  /** @throws InputError ZIP_CRC unless this is the checksum of all of the entry. */
  const judge = (entry: ZipEntry, actual: number): void => {
    const { crc } = placeOf(entry)
    if (actual !== crc) {
      const hex = (value: number): string => value.toString(16).padStart(8, '0')
      throw refusal('ZIP_CRC', `${name} entry ${quote(entry.name)}`, `checksum ${hex(crc)}`, hex(actual))
    }
    checked.add(entry.name)
  }

  /** Checks the checksum of an entry, unless it was checked before. */
  const check = async (entry: ZipEntry): Promise<void> => {
    if (checked.has(entry.name)) return
    let crc = 0
    for await (const part of readParts(file, placeOf(entry).dataOffset, entry.size, PART_LENGTH, name))
      crc = crc32(part, crc)
    judge(entry, crc)
  }

  return {
    entries: new Map([...places.values()].map(({ entry }) => [entry.name, entry])),
    async read(entry, offset = 0, length = entry.size - offset) {
      const bytes = await readExactly(file, placeOf(entry).dataOffset + offset, length, name)
      if (length === entry.size && !checked.has(entry.name)) judge(entry, crc32(bytes))
      else await check(entry)
      await checkUnchanged(file, name)
      return bytes
    },
    async *stream(entry, offset, length, partLength) {
      const inPassing = length === entry.size && length > 0 && !checked.has(entry.name)
      if (!inPassing) await check(entry)
      let [crc, done] = [0, 0]
      const start = placeOf(entry).dataOffset + offset
      for await (const part of readParts(file, start, length, partLength, name)) {
        if (inPassing) crc = crc32(part, crc)
        done += part.length
        if (inPassing && done === length) judge(entry, crc)
        yield part
      }
    },
  }
}

/**
 * Headers agree with the directory, and entries cover the file up to the directory without gap or overlap.
 * @throws InputError ZIP_GAP, ZIP_OVERLAP, ZIP_MISMATCH.
 */
async function checkLayout(
  file: RangedFile,
  name: string,
  records: ReadonlyMap<string, ZipRecord>,
  directoryOffset: number,
): Promise<Map<string, Place>> {
  const ordered = [...records.values()].toSorted((a, b) => a.headerOffset - b.headerOffset)
  const first = ordered[0]?.headerOffset ?? directoryOffset
  if (first !== 0)
    throw directory.refuseZip('ZIP_GAP', name, 'to begin with an entry', `${first} bytes before it`, 0)
  const places = new Map<string, Place>()
  for (const [i, record] of ordered.entries()) {
    const next = ordered[i + 1]?.headerOffset ?? directoryOffset
    places.set(record.entry.name, await checkEntry(file, name, record, next))
  }
  return new Map([...records.keys()].map((key) => [key, places.get(key) as Place]))
}

/** Checks one entry, from its header to `next`, where the next entry or the directory begins. */
async function checkEntry(file: RangedFile, name: string, record: ZipRecord, next: number): Promise<Place> {
  const { entry, flags, headerOffset } = record
  const refuse = (code: string, expected: string, got: string, byteOffset = headerOffset): InputError =>
    refusal(code, `${name} entry ${quote(entry.name)}`, expected, got, { byteOffset })
  const overlap = (): InputError =>
    refuse('ZIP_OVERLAP', `an end at ${next} or before`, 'an overlap with the next entry')
  const check = (agrees: boolean, what: string): void => {
    if (!agrees) throw refuse('ZIP_MISMATCH', `the ${what} of the directory`, `another ${what}`)
  }
  const nameLength = new TextEncoder().encode(entry.name).length
  if (headerOffset + LOCAL_LENGTH + nameLength > next) throw overlap()
  const header = await directory.viewFile(file, headerOffset, LOCAL_LENGTH + nameLength, name)
  check(header.getUint32(0, true) === 0x04034b50, 'mark')
  check(header.getUint16(6, true) === flags, 'flags')
  check(header.getUint16(8, true) === 0, 'method')
  check(header.getUint16(26, true) === nameLength, 'name')
  check(directory.readName(header, LOCAL_LENGTH, nameLength, flags, name) === entry.name, 'name')
  const extraLength = header.getUint16(28, true)
  const dataOffset = headerOffset + LOCAL_LENGTH + nameLength + extraLength
  const after = next - dataOffset - entry.size
  if (after < 0) throw overlap()
  const extra = await directory.viewFile(file, dataOffset - extraLength, extraLength, name)
  check(headerSizesAgree(header, extra, record, name), 'checksum and sizes')
  // The data is followed by the descriptor, if there is one, and then by the next entry.
  const isDescribed = (flags & directory.DESCRIPTOR_FLAG) !== 0
  if (isDescribed ? ![12, 16, 20, 24].includes(after) : after !== 0) {
    const got = `${after} bytes after ${quote(entry.name)}`
    throw refuse('ZIP_GAP', 'the next entry at once', got, next - after)
  }
  if (isDescribed) {
    const descriptor = await directory.viewFile(file, next - after, after, name)
    check(descriptorAgrees(descriptor, record), 'checksum and sizes')
  }
  return { ...record, dataOffset }
}

/** Whether the sizes in the header equal those of the directory; with a data descriptor they may be 0. */
function headerSizesAgree(
  header: DataView,
  extra: DataView,
  { entry, flags, crc }: ZipRecord,
  name: string,
): boolean {
  const mayBeZero = (flags & directory.DESCRIPTOR_FLAG) !== 0
  const agrees = (value: number, expected: number): boolean =>
    value === expected || (mayBeZero && value === 0)
  const sizes = [header.getUint32(18, true), header.getUint32(22, true)]
  if (!agrees(header.getUint32(14, true), crc)) return false
  const wide = directory.readExtra64(extra, 0, extra.byteLength, name)
  if (!sizes.includes(0xffffffff)) return sizes.every((size) => agrees(size, entry.size))
  if (wide === null || wide.byteLength < 16 || sizes[0] !== sizes[1]) return false
  return [0, 8].every((at) => directory.readSize64(wide, at, name) === entry.size)
}

/** A descriptor is [signature] checksum, packed size, size, with sizes of 4 or 8 bytes. */
function descriptorAgrees(record: DataView, { entry, crc }: ZipRecord): boolean {
  const marked = record.byteLength === 16 || record.byteLength === 24
  if (marked && record.getUint32(0, true) !== 0x08074b50) return false
  const at = marked ? 4 : 0
  const wide = record.byteLength >= 20
  const size = (index: number): bigint =>
    wide ? record.getBigUint64(at + 4 + 8 * index, true) : BigInt(record.getUint32(at + 4 + 4 * index, true))
  return (
    record.getUint32(at, true) === crc && size(0) === BigInt(entry.size) && size(1) === BigInt(entry.size)
  )
}
