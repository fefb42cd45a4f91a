/**
 * Files as trees, so that each list, text, map and number in them can be made larger (amounts.ts). A form reads a valid file as
 * a tree and writes any tree, with lengths, offsets and checksums that are right, so that readers reach what was made larger.
 */
import { parquetWriteBuffer } from 'hyparquet-writer'
import { concat, joined, littleEndian } from '../../fixtures/hostile/bytes.ts'
import {
  entryTypes,
  ggufFile,
  number as ggufNumber,
  numbers as ggufNumbers,
  tensorBytes,
  text as ggufText,
  texts as ggufTexts,
  type GgufValueParts,
  type NumberName,
} from '../../fixtures/hostile/build_gguf.ts'
import { makeZip } from '../../fixtures/hostile/build_torch.ts'
import { partOf } from '../../fixtures/hostile/build_own.ts'
import { bytesAsFile } from '../../src/io/files.ts'
import { openZip } from '../../src/io/zip.ts'
import { elementSize, isSourceDtype } from '../../src/tensor/dtypes.ts'

/** A part of a file. Numbers are those of JSON, or of the format. */
export type Tree =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Tree[]
  | Map<string, Tree>
  | Tagged
  | Inside
  | Nest

/** Parts that are more than a list: a tuple of a pickle, a typed value of GGUF. */
export class Tagged {
  readonly tag: string
  readonly parts: Tree[]

  constructor(tag: string, parts: Tree[]) {
    this.tag = tag
    this.parts = parts
  }
}

/** A file inside another one, such as JSON in a metadata entry. */
export class Inside {
  readonly form: Form
  readonly tree: Tree

  constructor(form: Form, tree: Tree) {
    this.form = form
    this.tree = tree
  }
}

/** Lists or maps inside each other, deeper than a function may call itself. */
export class Nest {
  readonly depth: number
  readonly of: 'lists' | 'maps'

  constructor(depth: number, of: 'lists' | 'maps') {
    this.depth = depth
    this.of = of
  }
}

/** See the head of this file. */
export interface Form {
  readonly name: string
  read(bytes: Uint8Array): Tree | Promise<Tree>
  write(tree: Tree): Uint8Array | Promise<Uint8Array>
  /** The share of the size that is tried: what is packed is small in a file. */
  readonly share?: number
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Tensors are given their data up to this size; a larger one has none, and is refused for that. */
const MOST_DATA = 2 ** 24

/** Bytes of a length: those there are, over and over. */
function fitted(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length || !(Number.isInteger(length) && length >= 0 && length <= MOST_DATA))
    return bytes
  const out = new Uint8Array(length)
  if (bytes.length > 0)
    for (let at = 0; at < length; at += bytes.length)
      out.set(bytes.subarray(0, Math.min(bytes.length, length - at)), at)
  return out
}

// ---- Texts ------------------------------------------------------------------------------------------------------

function fromJson(value: unknown): Tree {
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value === 'object' && value !== null)
    return new Map(Object.entries(value).map(([key, item]) => [key, fromJson(item)]))
  if (typeof value === 'string' && /^[[{]/.test(value))
    try {
      return new Inside(json, fromJson(JSON.parse(value)))
    } catch {
      return value
    }
  return value as Tree
}

function jsonText(tree: Tree): string {
  if (tree instanceof Nest) {
    const [open, middle, close] = tree.of === 'lists' ? ['[', '', ']'] : ['{"a":', '1', '}']
    return open.repeat(tree.depth) + middle + close.repeat(tree.depth)
  }
  if (tree instanceof Inside) return JSON.stringify(decoder.decode(tree.form.write(tree.tree) as Uint8Array))
  if (Array.isArray(tree)) return `[${tree.map(jsonText).join(',')}]`
  if (tree instanceof Map)
    return `{${Array.from(tree, ([key, item]) => `${JSON.stringify(key)}:${jsonText(item)}`).join(',')}}`
  // What a place lost with its key is null.
  return typeof tree === 'bigint' ? String(tree) : JSON.stringify(tree ?? null)
}

/** JSON; a text that is JSON itself is a file inside. */
export const json: Form = {
  name: 'json',
  read: (bytes) => fromJson(JSON.parse(decoder.decode(bytes))),
  write: (tree) => encoder.encode(jsonText(tree)),
}

/** A list of lines, each of which has a form. */
export const lines = (inner: Form): Form => ({
  name: `lines of ${inner.name}`,
  read: (bytes) =>
    decoder
      .decode(bytes)
      .split('\n')
      .map((line) => (line === '' ? '' : new Inside(inner, inner.read(encoder.encode(line)) as Tree))),
  write: (tree) => encoder.encode((tree as Tree[]).map(lineText).join('\n')),
})

function lineText(line: Tree): string {
  if (line instanceof Inside) return decoder.decode(line.form.write(line.tree) as Uint8Array)
  return typeof line === 'string' ? line : jsonText(line)
}

/** Words with spaces between them. */
export const words: Form = {
  name: 'words',
  read: (bytes) => decoder.decode(bytes).split(' '),
  write: (tree) =>
    encoder.encode(
      Array.isArray(tree)
        ? tree.map((word) => (typeof word === 'string' ? word : jsonText(word))).join(' ')
        : jsonText(tree),
    ),
}

/** One text. */
export const plain: Form = {
  name: 'text',
  read: (bytes) => decoder.decode(bytes),
  write: (tree) => encoder.encode(typeof tree === 'string' ? tree : jsonText(tree)),
}

/** One text as UTF-16 units. */
export const units: Form = {
  name: 'UTF-16',
  read: (bytes) => new TextDecoder('utf-16le').decode(bytes),
  write(tree) {
    const text = typeof tree === 'string' ? tree : jsonText(tree)
    return new Uint8Array(Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)).buffer)
  },
}

/** Bytes without a structure. */
export const rawBytes: Form = {
  name: 'bytes',
  read: (bytes) => bytes,
  write: (tree) => (tree instanceof Uint8Array ? tree : json.write(tree)),
}

/** An entry of the store: JSON after a checksum of itself. */
export const storeEntry: Form = {
  name: 'entry of the store',
  read(bytes) {
    const { checksum: _, ...rest } = JSON.parse(decoder.decode(bytes)) as Record<string, unknown>
    return fromJson(rest)
  },
  write: (tree) => partOf(jsonText(tree).replace(/^\{/, '')),
}

// ---- Safetensors ------------------------------------------------------------------------------------------------

interface HeaderEntry {
  readonly dtype: string
  readonly shape: number[]
  readonly data_offsets: [number, number]
}

function headerOf(bytes: Uint8Array): { header: Record<string, HeaderEntry>; data: Uint8Array } {
  const end = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))
  return { header: JSON.parse(decoder.decode(bytes.subarray(8, end))), data: bytes.subarray(end) }
}

/** The header of safetensors as it is: offsets stay what they were. */
export const safetensorsHeader: Form = {
  name: 'safetensors header',
  read(bytes) {
    const { header, data } = headerOf(bytes)
    return new Tagged('file', [fromJson(header), data])
  },
  write(tree) {
    const [header, data] = (tree as Tagged).parts
    const text = encoder.encode(jsonText(header))
    return joined([littleEndian(text.length, 8), text, data as Uint8Array])
  },
}

/** Safetensors as metadata and tensors: offsets and data follow from shapes. */
export const safetensors: Form = {
  name: 'safetensors',
  read(bytes) {
    const { header, data } = headerOf(bytes)
    const { __metadata__: metadata = {}, ...tensors } = header
    const parts = Object.entries(tensors).map(([name, { dtype, shape, data_offsets }]): [string, Tree] => {
      const values = data.slice(...data_offsets)
      return [
        name,
        new Map<string, Tree>([
          ['dtype', dtype],
          ['shape', shape],
          ['data', values],
        ]),
      ]
    })
    return new Map([
      ['metadata', fromJson(metadata)],
      ['tensors', new Map(parts)],
    ])
  },
  write(tree) {
    const file = tree as Map<string, Tree>
    const tensors = file.get('tensors')
    const header: string[] = [`"__metadata__":${jsonText(file.get('metadata') as Tree)}`]
    const data: Uint8Array[] = []
    let at = 0
    for (const [name, tensor] of tensors instanceof Map ? tensors : []) {
      if (!(tensor instanceof Map)) {
        header.push(`${JSON.stringify(name)}:${jsonText(tensor)}`)
        continue
      }
      const [dtype, shape, values] = ['dtype', 'shape', 'data'].map((field) => tensor.get(field))
      const bytes = values instanceof Uint8Array ? values : new Uint8Array(0)
      const fits = Array.isArray(shape) && shape.every((size) => typeof size === 'number' && size >= 0)
      const length = fits && isSourceDtype(dtype) ? product(shape as number[]) * elementSize(dtype) : NaN
      const held = fitted(bytes, length)
      const more = [...tensor].filter(([field]) => !['dtype', 'shape', 'data'].includes(field))
      const known: [string, Tree | undefined][] = [
        ['dtype', dtype],
        ['shape', shape],
        ['data_offsets', [at, at + held.length]],
      ]
      const fields = new Map<string, Tree>()
      for (const [field, value] of [...known, ...more]) if (value !== undefined) fields.set(field, value)
      header.push(`${JSON.stringify(name)}:${jsonText(fields)}`)
      data.push(held)
      at += held.length
    }
    if (!(tensors instanceof Map)) header.push(`"tensors":${jsonText(tensors as Tree)}`)
    const text = encoder.encode(`{${header.join(',')}}`)
    return joined([littleEndian(text.length, 8), text, ...data])
  },
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1)
}

// ---- Pickles and zip --------------------------------------------------------------------------------------------

const ops = { empty: 0x29, stop: 0x2e, list: 0x5d, dict: 0x7d, mark: 0x28 }

/** The pickle at a place, as a tree, and where it ends. */
function pickleAt(bytes: Uint8Array, start: number): { tree: Tree; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const stack: (Tree | undefined)[] = []
  let at = start + 2
  const line = (): string => {
    const end = bytes.indexOf(10, at)
    return decoder.decode(bytes.subarray(at, (at = end + 1) - 1))
  }
  const pop = (): Tree => stack.pop() as Tree
  const toMark = (): Tree[] => stack.splice(stack.lastIndexOf(undefined)).slice(1) as Tree[]
  const fixed: Readonly<Record<string, () => Tree>> = {
    N: () => null,
    '\x88': () => true,
    '\x89': () => false,
    J: () => view.getInt32((at += 4) - 4, true),
    K: () => bytes[at++],
    M: () => view.getUint16((at += 2) - 2, true),
    G: () => new Tagged('float', [view.getFloat64((at += 8) - 8)]),
    X: () => {
      const length = view.getUint32((at += 4) - 4, true)
      return decoder.decode(bytes.subarray(at, (at += length)))
    },
    '\x8a': () => {
      const length = bytes[at++]
      return new Tagged('long', [bytes.slice(at, (at += length))])
    },
    ')': () => new Tagged('tuple', []),
    ']': () => [],
    '}': () => new Map(),
    c: () => new Tagged('global', [line(), line()]),
    t: () => new Tagged('tuple', toMark()),
    '\x85': () => new Tagged('tuple', [pop()]),
    h: () => new Tagged('get', [bytes[at++]]),
    q: () => new Tagged('put', [pop(), bytes[at++]]),
    Q: () => new Tagged('persistent', [pop()]),
    R: () => new Tagged('reduce', [pop(), pop()].toReversed()),
    b: () => new Tagged('build', [pop(), pop()].toReversed()),
    e: () => {
      const items = toMark()
      const list = pop()
      return Array.isArray(list) ? [...list, ...items] : new Tagged('appended', [list, items])
    },
    u: () => {
      const items = toMark()
      const pairs = items.flatMap((key, i): [string, Tree][] =>
        i % 2 === 0 ? [[key as string, items[i + 1]]] : [],
      )
      const dict = pop()
      return dict instanceof Map ? new Map([...dict, ...pairs]) : new Tagged('filled', [dict, new Map(pairs)])
    },
  }
  for (;;) {
    const code = bytes[at++]
    if (code === ops.stop) return { tree: pop(), end: at }
    if (code === ops.mark) stack.push(undefined)
    else {
      const read = fixed[String.fromCharCode(code)]
      if (read === undefined) throw new RangeError(`opcode ${code} of a valid pickle: expected a known one`)
      stack.push(read())
    }
  }
}

function pickled(tree: Tree): Uint8Array {
  const parts: (Uint8Array | string | number[])[] = [[0x80, 2]]
  const put = (...more: (Uint8Array | string | number[])[]): void => {
    for (const part of more) parts.push(part)
  }
  const all = (items: readonly Tree[], end: string): void => {
    put('(')
    for (const item of items) write(item)
    put(end)
  }
  const filled = (map: Map<string, Tree>): void => {
    put('(')
    for (const [key, item] of map) {
      write(key)
      write(item)
    }
    put('u')
  }
  const write = (node: Tree | undefined): void => {
    if (node === null || node === undefined) return put('N')
    if (typeof node === 'boolean') return put([node ? 0x88 : 0x89])
    if (typeof node === 'number' && Number.isInteger(node) && Math.abs(node) < 2 ** 31)
      return put('J', littleEndian(BigInt.asUintN(32, BigInt(node)), 4))
    if (typeof node === 'number' && Number.isInteger(node) && Math.abs(node) < 2 ** 63)
      return put([0x8a, 8], littleEndian(BigInt.asUintN(64, BigInt(node)), 8))
    if (typeof node === 'number' || typeof node === 'bigint') {
      const bytes = new Uint8Array(8)
      new DataView(bytes.buffer).setFloat64(0, Number(node))
      return put('G', bytes)
    }
    if (typeof node === 'string') {
      const bytes = encoder.encode(node)
      return put('X', littleEndian(bytes.length, 4), bytes)
    }
    if (node instanceof Uint8Array) return put('X', littleEndian(node.length, 4), node)
    if (node instanceof Inside) return write(decoder.decode(node.form.write(node.tree) as Uint8Array))
    if (node instanceof Nest) {
      const [open, close] = node.of === 'lists' ? [']', 'a'] : [')', '\x85']
      return put(open.repeat(node.of === 'lists' ? node.depth : 1), bytesOf(close.repeat(node.depth - 1)))
    }
    if (Array.isArray(node)) {
      put(']')
      return node.length > 0 ? all(node, 'e') : undefined
    }
    if (node instanceof Map) {
      put('}')
      return node.size > 0 ? filled(node) : undefined
    }
    const {
      tag,
      parts: [first, second],
    } = node
    if (tag === 'tuple') return node.parts.length === 0 ? put(')') : all(node.parts, 't')
    if (tag === 'global') return put('c', String(first), '\n', String(second), '\n')
    if (tag === 'get') return put('h', [Number(first) & 255])
    if (tag === 'long') {
      const bytes = first instanceof Uint8Array ? first : encoder.encode(jsonText(first))
      return put([0x8a, bytes.length & 255], bytes)
    }
    write(first)
    if (tag === 'put') return put('q', [Number(second) & 255])
    if (tag === 'persistent') return put('Q')
    if (tag === 'filled') return second instanceof Map ? filled(second) : write(second)
    if (tag === 'appended') return Array.isArray(second) ? all(second, 'e') : write(second)
    if (tag === 'float') return
    write(second)
    put(tag === 'reduce' ? 'R' : 'b')
  }
  write(tree)
  put('.')
  return joined(parts)
}

function bytesOf(marks: string): Uint8Array {
  return Uint8Array.from(marks, (mark) => mark.charCodeAt(0))
}

/** A pickle of protocol 2. */
export const pickle: Form = {
  name: 'pickle',
  read: (bytes) => pickleAt(bytes, 0).tree,
  write: pickled,
}

/** Several pickles, and bytes after them. */
export const pickles: Form = {
  name: 'pickles',
  read(bytes) {
    const found: Tree[] = []
    let at = 0
    while (bytes[at] === 0x80 && found.length < 5) {
      const { tree, end } = pickleAt(bytes, at)
      found.push(new Inside(pickle, tree))
      at = end
    }
    return new Map<string, Tree>([
      ['pickles', found],
      ['data', bytes.slice(at)],
    ])
  },
  write(tree) {
    const [found, data] = ['pickles', 'data'].map((part) => (tree as Map<string, Tree>).get(part))
    const parts = Array.isArray(found) ? found : [found as Tree]
    const written = parts.map((part) => pickled(part instanceof Inside ? part.tree : part))
    return joined([...written, data instanceof Uint8Array ? data : new Uint8Array(0)])
  },
}

/** A zip archive of stored entries. */
export const zip: Form = {
  name: 'zip',
  async read(bytes) {
    const archive = await openZip(bytesAsFile(bytes), 'valid')
    const entries: Tree[] = []
    for (const entry of archive.entries.values()) {
      const data = await archive.read(entry)
      const content = entry.name.endsWith('.pkl') ? new Inside(pickle, pickleAt(data, 0).tree) : data
      entries.push(
        new Map<string, Tree>([
          ['name', entry.name],
          ['data', content],
        ]),
      )
    }
    return entries
  },
  write(tree) {
    const entries = (tree as Tree[]).map((entry) => {
      const [name, data] = ['name', 'data'].map((field) => (entry instanceof Map ? entry.get(field) : entry))
      const content =
        data instanceof Inside
          ? pickled(data.tree)
          : data instanceof Uint8Array
            ? data
            : pickled(data ?? null)
      return { name: typeof name === 'string' ? name : jsonText(name ?? null), data: content }
    })
    return makeZip(entries, entries.length > 0xffff).bytes
  },
}

// ---- GGUF -------------------------------------------------------------------------------------------------------

const nameOfType: ReadonlyMap<number, string> = new Map(
  Object.entries(entryTypes).map(([name, type]) => [type, name]),
)
const sizes: Readonly<Record<string, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  flag: 1,
  u64: 8,
  i64: 8,
  f64: 8,
}

/** GGUF: entries with typed values, and tensors whose data follow from their sizes. */
export const gguf: Form = {
  name: 'gguf',
  read(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let at = 8
    const u32 = (): number => view.getUint32((at += 4) - 4, true)
    const u64 = (): number => Number(view.getBigUint64((at += 8) - 8, true))
    const readText = (): string => {
      const length = u64()
      return decoder.decode(bytes.subarray(at, (at += length)))
    }
    const readNumber = (name: string): number => {
      const start = at
      at += sizes[name]
      if (name === 'f32') return view.getFloat32(start, true)
      if (name === 'f64') return view.getFloat64(start, true)
      if (sizes[name] === 8) return Number(view.getBigInt64(start, true))
      if (name === 'i32') return view.getInt32(start, true)
      return sizes[name] === 4
        ? view.getUint32(start, true)
        : sizes[name] === 2
          ? view.getUint16(start, true)
          : bytes[start]
    }
    const readValue = (name: string): Tree => {
      if (name === 'text') return readText()
      if (name !== 'list') return new Tagged(name, [readNumber(name)])
      const of = nameOfType.get(u32()) as string
      const items = Array.from({ length: u64() }, () => (of === 'text' ? readText() : readNumber(of)))
      return new Tagged(`list of ${of}`, items)
    }
    const [tensorCount, entryCount] = [u64(), u64()]
    const entries = new Map<string, Tree>()
    for (let i = 0; i < entryCount; i++) entries.set(readText(), readValue(nameOfType.get(u32()) as string))
    const tensors = Array.from({ length: tensorCount }, (): [Map<string, Tree>, number, number] => {
      const name = readText()
      const shape = Array.from({ length: u32() }, u64)
      const type = u32()
      const tensor = new Map<string, Tree>([
        ['name', name],
        ['sizes', shape],
        ['type', type],
      ])
      return [tensor, u64(), tensorBytes(type, shape)]
    })
    const data = Math.ceil(at / 32) * 32
    for (const [tensor, offset, length] of tensors)
      tensor.set('data', bytes.slice(data + offset, data + offset + length))
    return new Map<string, Tree>([
      ['entries', entries],
      ['tensors', tensors.map(([tensor]) => tensor)],
    ])
  },
  write(tree) {
    const [entries, tensors] = ['entries', 'tensors'].map((part) => (tree as Map<string, Tree>).get(part))
    return ggufFile({
      entries: entries instanceof Map ? Array.from(entries, ([key, value]) => [key, ggufValue(value)]) : [],
      tensors: (Array.isArray(tensors) ? tensors : []).map((tensor) => {
        const [name, of, type, data] = ['name', 'sizes', 'type', 'data'].map((field) =>
          tensor instanceof Map ? tensor.get(field) : tensor,
        )
        const shape = (Array.isArray(of) ? of : [of]).map((size) => whole(size as Tree))
        const code = whole(type as Tree)
        const length = tensorBytes(code, shape)
        const bytes = data instanceof Uint8Array ? data : new Uint8Array(0)
        return {
          name: typeof name === 'string' ? name : jsonText(name as Tree),
          type: code,
          sizes: shape,
          data: fitted(bytes, length),
        }
      }),
    })
  },
}

/** A whole number, whatever stands there. */
function whole(tree: Tree): number {
  const value = typeof tree === 'number' ? tree : 1
  return Number.isInteger(value) ? value : 1
}

function ggufValue(tree: Tree): GgufValueParts {
  if (tree instanceof Tagged) {
    const name = tree.tag.replace('list of ', '') as NumberName
    if (name === tree.tag)
      return typeof tree.parts[0] === 'number' ? ggufNumber(name, tree.parts[0]) : ggufValue(tree.parts[0])
    if ((name as string) === 'text')
      return ggufTexts(tree.parts.map((part) => (typeof part === 'string' ? part : jsonText(part))))
    if (tree.parts.every((part) => typeof part === 'number')) return ggufNumbers(name, tree.parts as number[])
    return ggufTexts(tree.parts.map((part) => (typeof part === 'string' ? part : jsonText(part))))
  }
  if (typeof tree === 'string') return ggufText(tree)
  if (typeof tree === 'number') return ggufNumber('f64', tree)
  if (tree instanceof Nest) {
    // Lists of one list each, and no value at the end.
    const level = concat(littleEndian(entryTypes.list, 4), littleEndian(1, 8))
    return { type: entryTypes.list, bytes: fitted(level, level.length * tree.depth) }
  }
  if (Array.isArray(tree) && tree.every((item) => typeof item === 'number'))
    return ggufNumbers('i32', tree as number[])
  const items = Array.isArray(tree) ? tree : tree instanceof Map ? [...tree.keys()] : []
  return ggufTexts(items.map((item) => (typeof item === 'string' ? item : jsonText(item))))
}

// ---- Parquet ----------------------------------------------------------------------------------------------------

/** Parquet as rows, which the writer encodes again. */
export const parquetRows = (rows: readonly Readonly<Record<string, unknown>>[]): Form => ({
  name: 'parquet rows',
  share: 1 / 32,
  read: () => fromJson(rows),
  write(tree) {
    const all = (tree as Tree[]).map((row) => JSON.parse(jsonText(row)) as Record<string, unknown>)
    const columns = Object.keys(all[0])
    const columnData = columns.map((name) => ({ name, data: all.map((row) => row[name] ?? null) }))
    return new Uint8Array(parquetWriteBuffer({ columnData, codec: 'SNAPPY' }))
  },
})

/** The footer of a parquet file, field by field; the pages before it stay what they are. */
export const parquetFooter: Form = {
  name: 'parquet footer',
  // Writing a field takes hundreds of times its bytes.
  share: 1 / 16,
  read(bytes) {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 8, true)
    const end = bytes.length - 8
    return new Tagged('file', [bytes.slice(0, end - length), readThrift(bytes.subarray(end - length, end))])
  },
  write(tree) {
    const [body, footer] = (tree as Tagged).parts
    const bytes = writeThrift(footer)
    return joined([body as Uint8Array, bytes, littleEndian(bytes.length, 4), 'PAR1'])
  },
}

const thrift = { double: 7, binary: 8, list: 9, set: 10, struct: 12 }

/** A struct as a map of "type:id". */
function readThrift(bytes: Uint8Array): Tree {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  const zigzag = (): number => {
    const value = varint()
    return Number((value >> 1n) ^ -(value & 1n))
  }
  const read = (type: number): Tree => {
    if (type === 1 || type === 2) return type === 1
    if (type === 3) return view.getInt8(at++)
    if (type < thrift.double) return zigzag()
    if (type === thrift.double) return view.getFloat64((at += 8) - 8, true)
    if (type === thrift.binary) {
      const length = Number(varint())
      const value = bytes.slice(at, (at += length))
      const text = decoder.decode(value)
      return encoder.encode(text).length === length && !text.includes('\ufffd') ? text : value
    }
    if (type === thrift.struct) {
      const fields = new Map<string, Tree>()
      let id = 0
      for (let head = bytes[at++]; head !== 0; head = bytes[at++]) {
        id = head >> 4 === 0 ? zigzag() : id + (head >> 4)
        fields.set(`${head & 15}:${id}`, read(head & 15))
      }
      return fields
    }
    const head = bytes[at++]
    const length = head >> 4 === 15 ? Number(varint()) : head >> 4
    return new Tagged(
      `list of ${head & 15}`,
      Array.from({ length }, () => read(head & 15)),
    )
  }
  return read(thrift.struct)
}

function writeThrift(tree: Tree): Uint8Array {
  const parts: (Uint8Array | string | number[])[] = []
  const varint = (value: bigint): void => {
    const bytes: number[] = []
    for (; value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128)
    parts.push([...bytes, Number(value)])
  }
  const zigzag = (value: number | bigint): void => {
    const whole = BigInt.asIntN(
      64,
      typeof value === 'number' && !Number.isInteger(value) ? 0n : BigInt(value),
    )
    varint(BigInt.asUintN(64, (whole << 1n) ^ (whole >> 63n)))
  }
  const typeOf = (node: Tree, said: number): number => {
    if (node instanceof Map) return thrift.struct
    if (node instanceof Tagged || Array.isArray(node) || node instanceof Nest) return thrift.list
    if (typeof node === 'string' || node instanceof Uint8Array || node instanceof Inside) return thrift.binary
    if (typeof node === 'boolean') return node ? 1 : 2
    return said >= 3 && said <= thrift.double ? said : 6
  }
  const write = (node: Tree, type: number): void => {
    if (node instanceof Nest) {
      if (node.of === 'lists') parts.push(fitted(Uint8Array.of(0x19), node.depth), [0x05])
      else parts.push(fitted(Uint8Array.of(0x1c), node.depth), fitted(Uint8Array.of(0), node.depth))
    } else if (node instanceof Map) {
      for (const [key, value] of node) {
        const [said, id] = key.split(':')
        const fieldType = typeOf(value, Number(said))
        parts.push([fieldType])
        zigzag(Number(id) || 0)
        if (typeof value !== 'boolean') write(value, fieldType)
      }
      parts.push([0])
    } else if (node instanceof Tagged || Array.isArray(node)) {
      const items = Array.isArray(node) ? node : node.parts
      const said = Array.isArray(node) ? 6 : Number(node.tag.slice(8))
      const of = items.length === 0 ? said : typeOf(items[0], said)
      parts.push([0xf0 | of])
      varint(BigInt(items.length))
      for (const item of items) write(item, of)
    } else if (typeof node === 'boolean') parts.push([node ? 1 : 2])
    else if (typeof node === 'string' || node instanceof Uint8Array || node instanceof Inside) {
      const bytes =
        node instanceof Uint8Array
          ? node
          : encoder.encode(node instanceof Inside ? jsonText(node.tree) : node)
      varint(BigInt(bytes.length))
      parts.push(bytes)
    } else if (type === 3) parts.push([Number(node) & 255])
    else if (type === thrift.double) {
      const bytes = new Uint8Array(8)
      new DataView(bytes.buffer).setFloat64(0, Number(node), true)
      parts.push(bytes)
    } else zigzag(node ?? 0)
  }
  write(tree, thrift.struct)
  return joined(parts)
}
