/**
 * Makes lengths and checksums right again in files that were changed, so that what was changed is looked at, and not
 * only that it was.
 */
import { crc32 } from '../../src/platform/platform.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import type { TensorToWrite } from '../../src/io/safetensors_writer.ts'
import { storeManifest } from '../../src/calibration/manifest.ts'
import { manifest, partOf, shardOf } from '../../fixtures/hostile/build_own.ts'
import { concat, littleEndian } from '../../fixtures/hostile/bytes.ts'

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
