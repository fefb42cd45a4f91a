/**
 * Protocol buffers, the reading half, for laws about the writer: a message as its fields, in order, whatever they mean.
 */

/** A field: its number, and a varint as a number of 64 bits, or the bytes of anything else. */
export type Field = readonly [number: number, value: bigint | Uint8Array]

/** Takes a message apart. @throws RangeError if it ends inside a field, or has a wire type nobody writes today */
export function readFields(bytes: Uint8Array): Field[] {
  const fields: Field[] = []
  let at = 0
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new RangeError(`byte ${at}: expected ${length} more, got the end`)
    at += length
    return bytes.subarray(at - length, at)
  }
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const [byte] = take(1)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new RangeError(`byte ${at}: expected a varint of at most ten bytes, got a longer one`)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const [number, wireType] = [tag >> 3, tag & 7]
    if (wireType === 0) fields.push([number, varint()])
    else if (wireType === 2) fields.push([number, take(Number(varint()))])
    else if (wireType === 5) fields.push([number, take(4)])
    else throw new RangeError(`field ${number}: expected wire type 0, 2 or 5, got ${wireType}`)
  }
  return fields
}

/** Every value of one field of a message. */
function valuesOf(bytes: Uint8Array, number: number): (bigint | Uint8Array)[] {
  return readFields(bytes).flatMap(([one, value]) => (one === number ? [value] : []))
}

/** Every message, or every run of bytes, in one field. */
export function bytesOf(bytes: Uint8Array, number: number): Uint8Array[] {
  return valuesOf(bytes, number).map((value) => {
    if (typeof value === 'bigint') throw new RangeError(`field ${number}: expected bytes, got ${value}`)
    return value
  })
}

/** Every text in one field. */
export function textsOf(bytes: Uint8Array, number: number): string[] {
  return bytesOf(bytes, number).map((text) => new TextDecoder().decode(text))
}

/** Every whole number in one field, in two's complement. */
export function integersOf(bytes: Uint8Array, number: number): number[] {
  return valuesOf(bytes, number).map((value) => {
    if (typeof value !== 'bigint') throw new RangeError(`field ${number}: expected a number, got bytes`)
    return Number(BigInt.asIntN(64, value))
  })
}
