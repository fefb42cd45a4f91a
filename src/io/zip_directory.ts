/**
 * The directory at the end of a zip archive: the end record, its 64-bit form, and one record per entry.
 *
 * `zip.ts` describes the accepted archives; this file checks what can be checked in the directory alone.
 */
import type { InputError } from '../tensor/errors.ts'
import { readExactly, type RangedFile } from './files.ts'
import { decodeUtf8 } from './json.ts'
import { quote, refusal } from './refusal.ts'
import { safePath } from './safe_path.ts'

/** One file in an archive. */
export interface ZipEntry {
  readonly name: string
  /** Bytes. */
  readonly size: number
}

/** An entry of the directory. */
export interface ZipRecord {
  readonly entry: ZipEntry
  readonly flags: number
  readonly crc: number
  readonly headerOffset: number
}

/** The position of the directory, and its number of entries. */
interface ZipDirectory {
  readonly offset: number
  readonly size: number
  readonly count: number
}

/** Flag: checksum and sizes follow the data. */
export const DESCRIPTOR_FLAG = 0x0008
const UTF8_FLAG = 0x0800

const END_LENGTH = 22
const END64_LENGTH = 56
const LOCATOR_LENGTH = 20
const CENTRAL_LENGTH = 46
const MAX_ENTRIES = 100_000
const MAX_DIRECTORY_BYTES = 64_000_000

/** The error of the whole archive. */
export function refuseZip(
  code: string,
  name: string,
  expected: string,
  got: string,
  byteOffset: number,
): InputError {
  return refusal(code, `${name} zip`, expected, got, { byteOffset })
}

/**
 * Bytes of the file, to be read as numbers.
 * @throws InputError ZIP_END if the file does not have them.
 */
export async function viewFile(
  file: RangedFile,
  offset: number,
  length: number,
  name: string,
): Promise<DataView> {
  if (offset < 0 || offset + length > file.size) {
    throw refuseZip('ZIP_END', name, `${length} bytes at ${offset}`, `a file of ${file.size} bytes`, 0)
  }
  return new DataView((await readExactly(file, offset, length, name)).buffer)
}

/** A 64-bit size. @throws InputError ZIP_ZIP64 past 2^53 - 1. */
export function readSize64(record: DataView, at: number, name: string): number {
  const value = record.getBigUint64(at, true)
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw refusal('ZIP_ZIP64', name, 'at most 2^53 - 1', `${value}`)
  return Number(value)
}

/**
 * Finds the directory.
 * @throws InputError ZIP_END, ZIP_DISKS, ZIP_ZIP64, ZIP_DIRECTORY, ZIP_LIMIT.
 */
export async function readEnd(file: RangedFile, name: string): Promise<ZipDirectory> {
  const endOffset = file.size - END_LENGTH
  const refuse = (code: string, expected: string, got: string): InputError =>
    refuseZip(code, name, expected, got, endOffset)
  const end = await viewFile(file, endOffset, END_LENGTH, name)
  const commentLength = end.getUint16(20, true)
  if (end.getUint32(0, true) !== 0x06054b50 || commentLength !== 0) {
    throw refuse('ZIP_END', 'an end record without a comment as the last 22 bytes', 'other bytes')
  }
  const here = end.getUint16(8, true)
  const short = {
    count: end.getUint16(10, true),
    size: end.getUint32(12, true),
    offset: end.getUint32(16, true),
  }
  if (end.getUint32(4, true) !== 0 || here !== short.count) {
    throw refuse('ZIP_DISKS', 'an archive of one part', 'one of several')
  }
  const long = await readEnd64(file, name, endOffset)
  const directory = long ?? short
  const saturated = short.count === 0xffff || short.size === 0xffffffff || short.offset === 0xffffffff
  const agrees = (a: number, b: number, saturation: number): boolean => a === b || a === saturation
  if (
    (saturated && long === null) ||
    !agrees(short.count, directory.count, 0xffff) ||
    !agrees(short.size, directory.size, 0xffffffff) ||
    !agrees(short.offset, directory.offset, 0xffffffff)
  ) {
    throw refuse('ZIP_ZIP64', 'two end records that agree', 'two that differ')
  }
  const directoryEnd = long === null ? endOffset : endOffset - LOCATOR_LENGTH - END64_LENGTH
  if (directory.offset + directory.size !== directoryEnd) {
    const got = `${directory.offset} + ${directory.size}`
    throw refuse('ZIP_DIRECTORY', `a directory that ends at ${directoryEnd}`, got)
  }
  if (directory.count > MAX_ENTRIES || directory.size > MAX_DIRECTORY_BYTES) {
    throw refuse('ZIP_LIMIT', `at most ${MAX_ENTRIES} entries`, `${directory.count}`)
  }
  return directory
}

/** The end record of large archives; null if there is none. */
async function readEnd64(file: RangedFile, name: string, endOffset: number): Promise<ZipDirectory | null> {
  if (endOffset < LOCATOR_LENGTH) return null
  const locator = await viewFile(file, endOffset - LOCATOR_LENGTH, LOCATOR_LENGTH, name)
  if (locator.getUint32(0, true) !== 0x07064b50) return null
  const offset = readSize64(locator, 8, name)
  const wrong = (got: string): InputError =>
    refuseZip('ZIP_ZIP64', name, 'an end record of 56 bytes before its locator', got, offset)
  if (offset !== endOffset - LOCATOR_LENGTH - END64_LENGTH) throw wrong(`one at ${offset}`)
  const record = await viewFile(file, offset, END64_LENGTH, name)
  if (record.getUint32(0, true) !== 0x06064b50 || record.getBigUint64(4, true) !== 44n)
    throw wrong('other bytes')
  const here = readSize64(record, 24, name)
  const count = readSize64(record, 32, name)
  const parts = record.getUint32(16, true) + record.getUint32(20, true) + locator.getUint32(4, true)
  if (parts !== 0 || locator.getUint32(16, true) > 1 || here !== count) {
    throw refuseZip('ZIP_DISKS', name, 'an archive of one part', 'one of several', offset)
  }
  return { count, size: readSize64(record, 40, name), offset: readSize64(record, 48, name) }
}

// ---- The directory --------------------------------------------------------------------------------------------

/**
 * Reads every record.
 * @throws InputError ZIP_DIRECTORY, ZIP_DUPLICATE, ZIP_NAME, ZIP_ENCRYPTED, ZIP_FLAGS, ZIP_COMPRESSED, ZIP_MISMATCH,
 *   ZIP_ZIP64, ZIP_DISKS, PATH_UNSAFE.
 */
export async function readDirectory(
  file: RangedFile,
  name: string,
  directory: ZipDirectory,
): Promise<Map<string, ZipRecord>> {
  const record = await viewFile(file, directory.offset, directory.size, name)
  const places = new Map<string, ZipRecord>()
  let at = 0
  const refuse = (code: string, expected: string, got: string): InputError =>
    refuseZip(code, name, expected, got, directory.offset + at)
  for (let i = 0; i < directory.count; i++) {
    const lengths = at + CENTRAL_LENGTH <= record.byteLength ? centralLengths(record, at) : null
    if (lengths === null || at + lengths.total > record.byteLength)
      throw refuse('ZIP_DIRECTORY', `${directory.count} entries`, `${i} and a part`)
    const place = readCentral(record, at, lengths, name, directory.offset + at)
    if (places.has(place.entry.name))
      throw refuse('ZIP_DUPLICATE', `entry ${quote(place.entry.name)} once`, 'it twice')
    places.set(place.entry.name, place)
    at += lengths.total
  }
  if (at !== record.byteLength)
    throw refuse('ZIP_DIRECTORY', `${at} bytes of directory`, `${record.byteLength}`)
  return places
}

interface Lengths {
  name: number
  extra: number
  total: number
}

/** The lengths of one directory record; null if it is invalid. */
function centralLengths(record: DataView, at: number): Lengths | null {
  if (record.getUint32(at, true) !== 0x02014b50) return null
  const name = record.getUint16(at + 28, true)
  const extra = record.getUint16(at + 30, true)
  return { name, extra, total: CENTRAL_LENGTH + name + extra + record.getUint16(at + 32, true) }
}

function readCentral(
  record: DataView,
  at: number,
  lengths: Lengths,
  name: string,
  byteOffset: number,
): ZipRecord {
  const flags = record.getUint16(at + 8, true)
  const method = record.getUint16(at + 10, true)
  const entryName = readName(record, at + CENTRAL_LENGTH, lengths.name, flags, name)
  const subject = `${name} entry ${quote(entryName)}`
  const refuse = (code: string, expected: string, got: string): InputError =>
    refusal(code, subject, expected, got, { byteOffset })
  if ((flags & 0x2041) !== 0) throw refuse('ZIP_ENCRYPTED', 'no encryption', 'an encrypted entry')
  if ((flags & ~(DESCRIPTOR_FLAG | UTF8_FLAG)) !== 0)
    throw refuse('ZIP_FLAGS', 'no flags but UTF-8 and data descriptor', `0x${flags.toString(16)}`)
  if (method !== 0) throw refuse('ZIP_COMPRESSED', 'an entry stored as it is', `compression method ${method}`)
  if (lengths.total !== CENTRAL_LENGTH + lengths.name + lengths.extra)
    throw refuse('ZIP_DIRECTORY', 'no comment', 'a comment')
  const { packed, size, offset } = readWide(record, at, lengths, subject)
  if (packed !== size) throw refuse('ZIP_MISMATCH', 'equal sizes of a stored entry', `${packed} and ${size}`)
  if (record.getUint16(at + 34, true) !== 0) throw refuse('ZIP_DISKS', 'an archive of one part', 'several')
  const entry = { name: entryName, size }
  return { entry, flags, crc: record.getUint32(at + 16, true), headerOffset: offset }
}

/** The name of an entry. @throws InputError ZIP_NAME, PATH_UNSAFE. */
export function readName(record: DataView, at: number, length: number, flags: number, file: string): string {
  const bytes = new Uint8Array(record.buffer, record.byteOffset + at, length)
  const text = decodeUtf8(bytes)
  if (text === null) throw refusal('ZIP_NAME', file, 'names of entries in UTF-8', 'other bytes')
  if ((flags & UTF8_FLAG) === 0 && /\P{ASCII}/u.test(text)) {
    throw refusal('ZIP_NAME', file, 'names in ASCII, or the flag that says UTF-8', quote(text))
  }
  return safePath(text, file)
}

/** Sizes and offset of a directory record: 32 bits each, or 64 bits in the extra field if they do not fit. */
function readWide(
  record: DataView,
  at: number,
  lengths: Lengths,
  subject: string,
): { packed: number; size: number; offset: number } {
  const extra = readExtra64(record, at + CENTRAL_LENGTH + lengths.name, lengths.extra, subject)
  let used = 0
  const widen = (short: number): number => {
    if (short !== 0xffffffff) return short
    used += 8
    if (extra === null || extra.byteLength < used) {
      throw refusal('ZIP_ZIP64', subject, 'a 64-bit size or offset', 'none')
    }
    return readSize64(extra, used - 8, subject)
  }
  const size = widen(record.getUint32(at + 24, true))
  const packed = widen(record.getUint32(at + 20, true))
  const offset = widen(record.getUint32(at + 42, true))
  if (extra !== null && extra.byteLength !== used) {
    throw refusal('ZIP_ZIP64', subject, `${used} bytes of 64-bit sizes`, `${extra.byteLength}`)
  }
  return { packed, size, offset }
}

/**
 * The 64-bit field among the extra fields; null if there is none.
 * @throws InputError ZIP_DIRECTORY for a truncated field, ZIP_ZIP64 for two of them.
 */
export function readExtra64(
  record: DataView,
  start: number,
  length: number,
  subject: string,
): DataView | null {
  let found: DataView | null = null
  let at = 0
  while (at < length) {
    const size = at + 4 <= length ? record.getUint16(start + at + 2, true) : Infinity
    if (at + 4 + size > length)
      throw refusal('ZIP_DIRECTORY', subject, 'complete extra fields', 'a truncated one')
    if (record.getUint16(start + at, true) === 1) {
      if (found !== null) throw refusal('ZIP_ZIP64', subject, 'one field of 64-bit sizes', 'two')
      found = new DataView(record.buffer, record.byteOffset + start + at + 4, size)
    }
    at += 4 + size
  }
  return found
}
