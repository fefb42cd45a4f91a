/**
 * Makes lengths and checksums right again in files that were changed, so that what was changed is looked at, and not
 * only that it was.
 */
import { crc32 } from '../../src/platform/platform.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import type { TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { storeManifest } from '../../src/calibration/manifest.ts'
import { manifest, partOf, shardOf } from '../../fixtures/hostile/build_own.ts'
import {
  entriesWith,
  entryTypes,
  ggufFile,
  smallEntries,
  tensorBytes,
  type GgufTensorParts,
  type GgufValueParts,
} from '../../fixtures/hostile/build_gguf.ts'
import { concat, littleEndian } from '../../fixtures/hostile/bytes.ts'
import type { Random } from '../../src/tensor/random.ts'

/** The first eight bytes say how long the header is: up to the last "}" that makes one. */
export function repairSafetensors(bytes: Uint8Array): Uint8Array {
  const rest = bytes.subarray(8)
  let depth = 0
  for (let i = 0; i < rest.length; i++) {
    depth += rest[i] === 0x7b ? 1 : rest[i] === 0x7d ? -1 : 0
    if (depth === 0 && rest[i] === 0x7d) return concat(littleEndian(i + 1, 8), rest)
  }
  return bytes
}

/** Checksums of what lies behind each header, in header, descriptor and directory, as far as they can be found. */
export function repairZip(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice()
  const view = new DataView(out.buffer)
  for (let at = 0; at + 46 <= out.length; at++) {
    if (view.getUint32(at, true) !== 0x02014b50) continue
    const [size, header] = [view.getUint32(at + 24, true), view.getUint32(at + 42, true)]
    if (header + 30 > out.length || view.getUint32(header, true) !== 0x04034b50) continue
    const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true)
    if (start + size + 8 > out.length) continue
    const crc = crc32(out.subarray(start, start + size))
    view.setUint32(at + 16, crc, true)
    if ((view.getUint16(header + 6, true) & 8) === 0) view.setUint32(header + 14, crc, true)
    else if (view.getUint32(start + size, true) === 0x08074b50) view.setUint32(start + size + 4, crc, true)
  }
  return out
}

/** A shard of the calibration with the checksum of the tensors it has. */
export async function repairShard(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    const source = await parseSafetensors(repairSafetensors(bytes))
    const tensors = new Map<string, TensorToWrite>()
    for (const { name, dtype, shape } of source.tensors.values())
      tensors.set(name, { dtype, shape, data: await source.readRaw(name) })
    return await shardOf(tensors, (await storeManifest(manifest)).identity)
  } catch {
    return bytes // no tensors to have a checksum of
  }
}

/** An entry of the store with the checksum of what it says. */
export async function repairPart(bytes: Uint8Array): Promise<Uint8Array> {
  const text = new TextDecoder().decode(bytes)
  const found = text.indexOf('"description"')
  return found < 0 ? bytes : partOf(text.slice(found))
}

/**
 * A GGUF file whose counts and offsets are right, of those entries and tensors that can be found; in half of the cases with
 * entries that every file needs, in half with a part left out, doubled, in another place, or with what another has.
 */
export function repairGguf(bytes: Uint8Array, random: Random): Uint8Array {
  const parts = ggufPartsOf(bytes)
  if (parts === null) return bytes
  const { entries, tensors } = parts
  if (random.below(2) > 0) addMissing(entries)
  if (random.below(2) > 0) {
    const list = random.below(2) > 0 ? entries : tensors
    const [from, to] = [random.below(list.length || 1), random.below(list.length || 1)]
    if (list.length > 0) rearrange(list, from, to, random)
    if (entries.length > 0 && random.below(4) === 0)
      entries[from % entries.length] = [entries[from % entries.length][0], entries[to % entries.length][1]]
    if (tensors.length > 0 && random.below(4) === 0) {
      const { type, sizes } = tensors[to % tensors.length]
      const other = random.below(2) > 0 ? { type } : { sizes }
      tensors[from % tensors.length] = withOwnData({ ...tensors[from % tensors.length], ...other })
    }
  }
  return ggufFile({ ...parts, tensors: tensors.map(withOwnData) })
}

/** The entries that every file needs. */
function addMissing(entries: FoundParts['entries']): void {
  const keys = new Set(entries.map(([key]) => decoder.decode(key)))
  for (const [key, value] of entriesWith(smallEntries()))
    if (!keys.has(key)) entries.push([new TextEncoder().encode(key), value])
}

function rearrange(list: unknown[], from: number, to: number, random: Random): void {
  const [part] = list.slice(from, from + 1)
  const kind = random.below(4)
  if (kind !== 0) list.splice(from, 1)
  if (kind !== 1) list.splice(to, 0, part)
}

const MOST_BYTES = 2 ** 16

/** A tensor with as many bytes of data as its header says, if those are not many. */
function withOwnData(tensor: GgufTensorParts): GgufTensorParts {
  const length = Math.ceil(tensorBytes(tensor.type, tensor.sizes))
  if (length > MOST_BYTES || length === tensor.data?.length) return tensor
  const data = new Uint8Array(length)
  data.set((tensor.data ?? data).subarray(0, length))
  return { ...tensor, data }
}

interface FoundParts {
  readonly version: number
  readonly alignment: number
  readonly entries: [Uint8Array, GgufValueParts][]
  readonly tensors: GgufTensorParts[]
}

/** The bytes of a value of each type of entry that has a size. */
const valueSizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const decoder = new TextDecoder()

/** What can be found of a file's entries and tensors: what cannot be followed is left out, whatever the counts say. */
function ggufPartsOf(bytes: Uint8Array): FoundParts | null {
  if (bytes.length < 24) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 24
  const u32 = (): number => view.getUint32((at += 4) - 4, true)
  const u64 = (): bigint => view.getBigUint64((at += 8) - 8, true)
  const take = (length: bigint | number): Uint8Array => {
    if (length > bytes.length - at) throw new RangeError('a length past the end')
    return bytes.subarray(at, (at += Number(length)))
  }
  const value = (type: number): GgufValueParts => {
    const start = at
    if (type === entryTypes.text) take(u64())
    else if (type !== entryTypes.list) take(valueSizes[type] ?? 4)
    else {
      const [of, length] = [u32(), u64()]
      if (of !== entryTypes.text) take(length * BigInt(valueSizes[of] ?? 1))
      else for (let left = length; left > 0n; left--) take(u64())
    }
    return { type, bytes: bytes.subarray(start, at) }
  }
  /** One entry or tensor; null if there is none here. */
  const part = (): [Uint8Array, GgufValueParts] | GgufTensorParts | null => {
    try {
      const name = take(u64())
      const text = decoder.decode(name.subarray(0, 64))
      if (/^(?:blk|output|token_embd|rope_freqs)/.test(text)) {
        const sizes = Array.from({ length: Math.min(u32(), 5) }, u64)
        return { name, sizes, type: u32(), offset: u64() }
      }
      const type = u32()
      const isKnown = type < valueSizes.length
      return isKnown && (isFollowed || /^\w+\.[\w.]+$/.test(text)) ? [name, value(type)] : null
    } catch (error) {
      if (error instanceof RangeError) return null
      throw error
    }
  }
  const entries: FoundParts['entries'] = []
  const described: GgufTensorParts[] = []
  let isFollowed = true
  let end = at
  for (let start = at; start + 24 <= bytes.length;) {
    at = start
    const found: ReturnType<typeof part> = isFollowed || isKeyAt(view, start) ? part() : null
    isFollowed = found !== null && described.length === 0
    if (found === null) {
      // Behind tensors are data.
      if (described.length > 0 && start > end + 64) break
      start++
      continue
    }
    if (Array.isArray(found)) entries.push(found)
    else described.push(found)
    start = end = at
  }
  const alignment = alignmentOf(entries)
  const data = Math.ceil(end / alignment) * alignment
  const tensors = described.map(({ offset = 0, ...tensor }) => {
    const start = data + Number(offset)
    const length = Math.min(MOST_BYTES, tensorBytes(tensor.type, tensor.sizes))
    return withOwnData({ ...tensor, data: bytes.subarray(start, start + length) })
  })
  return { version: view.getUint32(4, true), alignment, entries, tensors }
}

/** Whether a length of 3 to 64 and a letter are at a place. */
function isKeyAt(view: DataView, at: number): boolean {
  const length = view.getUint32(at, true)
  const letter = view.getUint8(at + 8) | 32
  return length >= 3 && length <= 64 && view.getUint32(at + 4, true) === 0 && letter >= 97 && letter <= 122
}

/** The alignment that entries state, if data can be aligned so. */
function alignmentOf(entries: FoundParts['entries']): number {
  const found = entries.find(([key]) => decoder.decode(key) === 'general.alignment')?.[1]
  if (found?.type !== entryTypes.u32) return 32
  const value = new DataView(found.bytes.buffer, found.bytes.byteOffset).getUint32(0, true)
  return [8, 16, 64, 128, 256].includes(value) ? value : 32
}
