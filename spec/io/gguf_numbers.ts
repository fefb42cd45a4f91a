/**
 * What tests read of GGUF files that they wrote.
 */
import { ggufTypes } from '../../src/io/gguf_blocks.ts'
import type { Format } from '../../src/io/gguf_formats.ts'
import { concatenate } from '../../src/tensor/concatenate.ts'
import { widenF16 } from '../../src/tensor/halves.ts'

/** The numbers that the reader of this project finds in bytes. */
export function numbersIn(format: Format, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (format === 'F32') return new Float32Array(bytes.buffer)
  if (format === 'F16') return widenF16(new Uint16Array(bytes.buffer))
  const type = [...ggufTypes.values()].find(({ name }) => name === format)
  const out = new Float32Array((bytes.length / (type?.bytes ?? 1)) * 32)
  type?.decode?.(bytes, out)
  return out
}

/** A file in one piece. */
export async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(part.slice())
  return concatenate(Uint8Array, all) as Uint8Array<ArrayBuffer>
}
