/**
 * The one bit in which kernels over a shared memory differ from kernels over a plain one.
 *
 * A module says of the memory it imports whether it is shared, and is refused the other kind; nothing else in these
 * kernels depends on it, since they use no atomic instruction. So one binary serves both, and the bit is set before it
 * is compiled. Format: WebAssembly core specification, "Modules" in the chapter on binary encoding.
 */

const IMPORT_SECTION = 2
/** The kind of an import, the first byte of its descriptor. */
const kinds = { function: 0, table: 1, memory: 2, global: 3 } as const
/** The flags of a memory that has a maximum, which a shared one must have. */
const HAS_MAXIMUM = 1
const IS_SHARED = 2

/**
 * A copy of a module whose imported memory is shared.
 * @throws RangeError if it does not import a plain memory with a maximum
 */
export function withSharedMemory(binary: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(binary)
  copy[flagsOfMemory(copy)] = HAS_MAXIMUM | IS_SHARED
  return copy
}

/** Where the flags of the imported memory stand. */
function flagsOfMemory(bytes: Uint8Array): number {
  const reader = new Reader(bytes, 8) // behind "\0asm" and the version
  while (reader.at < bytes.length) {
    const section = reader.byte()
    const end = reader.integer() + reader.at
    if (section === IMPORT_SECTION) {
      const found = memoryAmong(reader)
      if (found !== null) return found
    }
    reader.at = end
  }
  throw new RangeError('module: expected an imported memory, got none')
}

function memoryAmong(reader: Reader): number | null {
  for (let left = reader.integer(); left > 0; left--) {
    reader.skipName()
    reader.skipName()
    const kind = reader.byte()
    if (kind === kinds.memory) {
      const flags = reader.byte()
      if (flags === HAS_MAXIMUM) return reader.at - 1
      throw new RangeError(`module: expected a plain memory with a maximum, got flags ${flags}`)
    }
    if (kind === kinds.function) reader.integer()
    else if (kind === kinds.global) reader.at += 2
    else throw new RangeError(`module: expected imports of functions, globals and a memory, got kind ${kind}`)
  }
  return null
}

class Reader {
  readonly #bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  byte(): number {
    return this.#bytes[this.at++]
  }

  /** An unsigned number in groups of seven bits, the lowest first. */
  integer(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte()
      value |= (byte & 127) << shift
      if (byte < 128) return value
    }
  }

  /** A length and that many bytes. */
  skipName(): void {
    const length = this.integer()
    this.at += length
  }
}
