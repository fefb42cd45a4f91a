/**
 * Writes small GGUF files for tests: any entries, and tensors of float32, in any order.
 */

/** A number that is written as float32; whole numbers without this are written as 32 bits without a sign. */
interface Float {
  readonly float: number
}

/** A value of an entry. */
export type EntryValue = number | Float | boolean | string | readonly string[] | Float32Array | Int32Array

/** A tensor with a row per output. */
export interface FileTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

const ALIGNMENT = 32
const types = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const

class Bytes {
  readonly #parts: Uint8Array[] = []
  length = 0

  add(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.length += bytes.length
  }
  u32(value: number): void {
    this.add(new Uint8Array(Uint32Array.of(value).buffer))
  }
  u64(value: number): void {
    this.add(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer))
  }
  text(value: string): void {
    const bytes = new TextEncoder().encode(value)
    this.u64(bytes.length)
    this.add(bytes)
  }
  pad(): void {
    this.add(new Uint8Array((ALIGNMENT - (this.length % ALIGNMENT)) % ALIGNMENT))
  }
  whole(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.length)
    let at = 0
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }
}

function addValue(to: Bytes, value: EntryValue): void {
  if (typeof value === 'number') {
    to.u32(types.uint32)
    to.u32(value)
  } else if (typeof value === 'boolean') {
    to.u32(types.bool)
    to.add(Uint8Array.of(value ? 1 : 0))
  } else if (typeof value === 'string') {
    to.u32(types.string)
    to.text(value)
  } else if (value instanceof Float32Array || value instanceof Int32Array) {
    to.u32(types.array)
    to.u32(value instanceof Float32Array ? types.float32 : types.int32)
    to.u64(value.length)
    to.add(new Uint8Array(value.slice().buffer))
  } else if ('float' in value) {
    to.u32(types.float32)
    to.add(new Uint8Array(Float32Array.of(value.float).buffer))
  } else {
    to.u32(types.array)
    to.u32(types.string)
    to.u64(value.length)
    for (const text of value) to.text(text)
  }
}

/** The bytes of a file. @param dataOrder the order of the tensors' values; default that of their descriptions */
export function encodeGguf(
  entries: readonly (readonly [key: string, value: EntryValue])[],
  tensors: readonly FileTensor[],
  dataOrder: readonly FileTensor[] = tensors,
): Uint8Array<ArrayBuffer> {
  const data = new Bytes()
  const offsets = new Map<FileTensor, number>()
  for (const tensor of dataOrder) {
    offsets.set(tensor, data.length)
    data.add(new Uint8Array(tensor.data.slice().buffer))
    data.pad()
  }
  const file = new Bytes()
  file.add(new TextEncoder().encode('GGUF'))
  file.u32(3)
  file.u64(tensors.length)
  file.u64(entries.length)
  for (const [key, value] of entries) {
    file.text(key)
    addValue(file, value)
  }
  for (const tensor of tensors) {
    file.text(tensor.name)
    file.u32(tensor.shape.length)
    // The fastest dimension comes first.
    for (const size of tensor.shape.toReversed()) file.u64(size)
    file.u32(0)
    file.u64(offsets.get(tensor) as number)
  }
  file.pad()
  file.add(data.whole())
  return file.whole()
}
