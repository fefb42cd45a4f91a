/**
 * Zip archives and pickles made byte by byte, right ones and wrong ones, as torch.save and its enemies write them.
 */
import { crc32 } from '../../src/platform/platform.ts'
import { concat, joined, littleEndian } from './hostile.ts'

type Bytes = Uint8Array<ArrayBuffer>

// ---- Zip ------------------------------------------------------------------------------------------------------

/** One entry, and what to do differently from a plain stored one. */
export interface EntryToZip {
  name: string
  data: Uint8Array
  flags?: number
  method?: number
  /** Checksum and sizes behind the data, as torch has them, with or without the mark, of 4 or 8 bytes. */
  descriptor?: 'marked' | 'plain' | 'marked64' | 'plain64'
  localExtra?: Uint8Array
  centralExtra?: Uint8Array
  comment?: string
}

/** An archive, and where its records begin. */
export interface Zip {
  bytes: Bytes
  /** Offset of each entry's header. */
  local: number[]
  /** Offset of each entry's data. */
  data: number[]
  /** Offset of each entry's directory record. */
  central: number[]
  end: number
}

/** Puts entries into an archive. `zip64` adds the 64-bit end record, which torch always writes. */
export function makeZip(entries: readonly EntryToZip[], zip64 = false): Zip {
  const parts: Uint8Array[] = []
  const zip: Zip = { bytes: new Uint8Array(0), local: [], data: [], central: [], end: 0 }
  let offset = 0
  const put = (...list: (Uint8Array | string | number[])[]): void => {
    const bytes = concat(...list)
    parts.push(bytes)
    offset += bytes.length
  }
  for (const entry of entries) {
    zip.local.push(offset)
    put([0x50, 0x4b, 3, 4], localFields(entry), entry.name, entry.localExtra ?? [])
    zip.data.push(offset)
    put(entry.data, descriptorOf(entry))
  }
  const start = offset
  for (const [i, entry] of entries.entries()) {
    zip.central.push(offset)
    put(
      [0x50, 0x4b, 1, 2],
      centralFields(entry, zip.local[i]),
      entry.name,
      entry.centralExtra ?? [],
      entry.comment ?? '',
    )
  }
  const size = offset - start
  const count = entries.length
  if (zip64) {
    const at = offset
    const wide = [count, count, size, start].map((value) => littleEndian(value, 8))
    put([0x50, 0x4b, 6, 6], littleEndian(44, 8), new Uint8Array(12), ...wide)
    put([0x50, 0x4b, 6, 7], littleEndian(0, 4), littleEndian(at, 8), littleEndian(1, 4))
  }
  zip.end = offset
  const counts = littleEndian(count, 2)
  put([0x50, 0x4b, 5, 6, 0, 0, 0, 0], counts, counts, littleEndian(size, 4), littleEndian(start, 4), [0, 0])
  zip.bytes = joined(parts)
  return zip
}

function flagsOf({ flags, descriptor }: EntryToZip): number {
  return flags ?? (descriptor === undefined ? 0x0800 : 0x0808)
}

function localFields(entry: EntryToZip): Bytes {
  const size = entry.descriptor === undefined ? entry.data.length : 0
  const crc = entry.descriptor === undefined ? crc32(entry.data) : 0
  return concat(
    ...[
      [0, 2],
      [flagsOf(entry), 2],
      [entry.method ?? 0, 2],
      [0, 4],
      [crc, 4],
      [size, 4],
      [size, 4],
    ].map(([v, n]) => littleEndian(v, n)),
    littleEndian(new TextEncoder().encode(entry.name).length, 2),
    littleEndian(entry.localExtra?.length ?? 0, 2),
  )
}

function centralFields(entry: EntryToZip, offset: number): Bytes {
  const { data, centralExtra, comment = '' } = entry
  return concat(
    littleEndian(0, 4),
    ...[
      [flagsOf(entry), 2],
      [entry.method ?? 0, 2],
      [0, 4],
      [crc32(data), 4],
      [data.length, 4],
      [data.length, 4],
    ].map(([v, n]) => littleEndian(v, n)),
    littleEndian(new TextEncoder().encode(entry.name).length, 2),
    littleEndian(centralExtra?.length ?? 0, 2),
    littleEndian(comment.length, 2),
    new Uint8Array(8),
    littleEndian(offset, 4),
  )
}

function descriptorOf({ data, descriptor }: EntryToZip): Bytes {
  if (descriptor === undefined) return new Uint8Array(0)
  const width = descriptor.endsWith('64') ? 8 : 4
  const mark = descriptor.startsWith('marked') ? [0x50, 0x4b, 7, 8] : []
  return concat(
    mark,
    littleEndian(crc32(data), 4),
    littleEndian(data.length, width),
    littleEndian(data.length, width),
  )
}

/** The same archive with other bytes at an offset. */
export function patched(
  { bytes }: { bytes: Uint8Array },
  offset: number,
  other: Uint8Array | readonly number[],
): Bytes {
  const changed = new Uint8Array(bytes)
  changed.set(other, offset)
  return changed
}

// ---- Pickle ---------------------------------------------------------------------------------------------------

const code = (text: string): number => text.charCodeAt(0)

/** Pieces of a pickle of protocol 2. */
export const P = {
  none: [code('N')],
  true: [0x88],
  false: [0x89],
  mark: [code('(')],
  stop: [code('.')],
  reduce: [code('R')],
  build: [code('b')],
  persid: [code('Q')],
  emptyDict: [code('}')],
  emptyList: [code(']')],
  setItems: [code('u')],
  int: (value: number): Bytes => concat('J', littleEndian(BigInt.asUintN(32, BigInt(value)), 4)),
  long: (value: bigint, bytes = 8): Bytes =>
    concat([0x8a, bytes], littleEndian(BigInt.asUintN(8 * bytes, value), bytes)),
  float: concat('G', new Uint8Array(8)),
  text: (value: string): Bytes => concat('X', littleEndian(new TextEncoder().encode(value).length, 4), value),
  global: (module: string, name: string): Bytes => concat(`c${module}\n${name}\n`),
  put: (key: number): Bytes => concat('q', [key]),
  get: (key: number): Bytes => concat('h', [key]),
  /** An OrderedDict, empty. */
  ordered: concat('ccollections\nOrderedDict\n', ')R'),
}

/** One piece: bytes, or a list of them. */
export type Piece = Uint8Array | readonly number[]

/** A tuple of any length. */
export const tuple = (...items: Piece[]): Bytes => concat('(', ...items, 't')

/** A dict of keys and values. */
export const dict = (...items: [Piece, Piece][]): Bytes => concat('}(', ...items.flat(), 'u')

/** The persistent id of a storage. */
export const storage = (type: string, key: string, length: Piece): Bytes =>
  concat(tuple(P.text('storage'), P.global('torch', type), P.text(key), P.text('cpu'), length), 'Q')

/** The same before torch 1.6, where it also says whether it is part of another: None or (key, offset, length). */
export const legacyStorage = (type: string, key: string, length: Piece, view: Piece = P.none): Bytes =>
  concat(tuple(P.text('storage'), P.global('torch', type), P.text(key), P.text('cpu'), length, view), 'Q')

/** A tensor of any shape and strides over a storage. */
export const tensor = (
  from: Piece,
  offset: Piece,
  shape: Piece,
  strides: Piece,
  hooks: Piece = P.ordered,
): Bytes =>
  concat(
    P.global('torch._utils', '_rebuild_tensor_v2'),
    tuple(from, offset, shape, strides, P.false, hooks),
    'R',
  )

/** A pickle of these pieces: PROTO 2, the pieces, STOP. */
export function pickle(...pieces: (Piece | string)[]): Bytes {
  return concat([0x80, 2], ...pieces, '.')
}

/** Sizes as a tuple of integers. */
export function sizes(...values: number[]): Bytes {
  return tuple(...values.map((value) => (Math.abs(value) < 2 ** 31 ? P.int(value) : P.long(BigInt(value)))))
}

/** A contiguous float32 tensor. */
export function floatTensor(key: string, shape: number[], offset = 0, length?: number): Bytes {
  const count = shape.reduce((product, size) => product * size, 1)
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1))
  return tensor(
    storage('FloatStorage', key, P.int(length ?? offset + count)),
    P.int(offset),
    sizes(...shape),
    sizes(...strides),
  )
}

// ---- Checkpoint -----------------------------------------------------------------------------------------------

/** A checkpoint as torch writes it: aligned entries with descriptors, 64-bit end record. */
export function torchFile(
  pickled: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  more: EntryToZip[] = [{ name: 'model/byteorder', data: concat('little') }],
): Zip {
  const entries: EntryToZip[] = [
    { name: 'model/data.pkl', data: pickled },
    ...more,
    ...Object.entries(storages).map(([key, data]) => ({ name: `model/data/${key}`, data })),
    { name: 'model/version', data: concat('3\n') },
  ]
  const padding = concat('FB', littleEndian(8, 2), 'ZZZZZZZZ')
  return makeZip(
    entries.map((entry) => ({ descriptor: 'marked' as const, localExtra: padding, ...entry })),
    true,
  )
}

/** A file as torch wrote it before 1.6, and what to do differently. */
export interface LegacyParts {
  start?: Piece
  version?: Piece
  machine?: Piece
  tensors: Piece
  keys?: Piece
  /** Counts of elements and their bytes, in the order of the keys. */
  storages?: [count: number | bigint, data: Uint8Array][]
  after?: Uint8Array
}

const MAGIC = 0x1950a86a20f9469cfc6cn

/** What torch says about the machine that wrote a file. */
export const machine = (littleEndian: Piece = P.true, version: Piece = P.int(1001)): Bytes =>
  dict(
    [P.text('protocol_version'), version],
    [P.text('little_endian'), littleEndian],
    [
      P.text('type_sizes'),
      dict([P.text('short'), P.int(2)], [P.text('int'), P.int(4)], [P.text('long'), P.int(4)]),
    ],
  )

/** A list of texts. */
export const texts = (...items: string[]): Bytes => concat('](', ...items.map(P.text), 'e')

/** A checkpoint of the format before torch 1.6: five pickles, then counts and elements. */
export function legacyFile(parts: LegacyParts): Bytes {
  const { start, version, machine: about, tensors, keys, storages = [], after = new Uint8Array(0) } = parts
  return joined([
    pickle(start ?? P.long(MAGIC, 10)),
    pickle(version ?? P.int(1001)),
    pickle(about ?? machine()),
    pickle(tensors),
    pickle(keys ?? texts(...storages.map((_, i) => `${i}`))),
    ...storages.flatMap(([count, data]) => [littleEndian(BigInt.asUintN(64, BigInt(count)), 8), data]),
    after,
  ])
}
