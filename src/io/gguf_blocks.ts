/**
 * The element types of GGUF files, and the float32 numbers that blocks of quantised ones stand for.
 *
 * A block holds 32 or 256 consecutive numbers of a row. With q the small integers, d and m half-precision scales:
 *
 *   Q8_0  d q             q int8                      Q4_K  (d s) q - (m t)    s, t of 6 bits for each 32 numbers
 *   Q4_0  d (q - 8)       Q4_1  d q + m               Q5_K  the same with q of 5 bits
 *   Q5_0  d (q - 16)      Q5_1  d q + m               Q6_K  (d s) (q - 32)     s int8 for each 16 numbers
 *
 * Source: the layouts of ggml (ggml-common.h) and its reference decoders, which round each operation to float32. All
 * products but the last of Q6_K fit 24 bits, so rounding once, where a number is stored, gives the same bits.
 */
import { narrowToF16, widenF16 } from '../tensor/halves.ts'
import { BLOCK, quantizeBlocks } from '../tensor/int4.ts'
import type { SourceDtype } from '../tensor/tensor_source.ts'

/** An element type of GGUF. */
export interface GgufType {
  readonly name: string
  /** Numbers in a block; 1 for a plain type. */
  readonly numbers: number
  /** Bytes of a block. */
  readonly bytes: number
  /** The type in which its numbers are handed out. */
  readonly dtype: SourceDtype
  /** Writes the numbers of whole blocks; null for a plain type, whose bytes are handed out as they are. */
  readonly decode: ((blocks: Uint8Array, out: Float32Array) => void) | null
  /** Whole blocks as those of Q4_1, for a type whose numbers those can be. */
  readonly asQ4_1?: (blocks: Uint8Array) => Uint8Array<ArrayBuffer>
}

const plain = (name: SourceDtype & string, bytes: number): GgufType => {
  return { name, numbers: 1, bytes, dtype: name, decode: null }
}

/** Decodes the block at a place of the bytes into the numbers from a place on. */
type DecodeBlock = (blocks: Uint8Array, at: number, out: Float32Array, to: number) => void

function quantized(name: string, numbers: number, bytes: number, block: DecodeBlock): GgufType {
  return {
    name,
    numbers,
    bytes,
    dtype: 'F32',
    decode(blocks, out) {
      for (let at = 0, to = 0; at < blocks.length; at += bytes, to += numbers) block(blocks, at, out, to)
    },
  }
}

/** Bytes of a block of Q4_1. */
export const Q4_1_BYTES = 20

/**
 * d (q - 8) = d q + m with m = -8 d, which is exact but where it is past half precision: such a block is rounded anew, and
 * is not finite if its least number is past half precision too.
 */
function fromQ4_0(blocks: Uint8Array): Uint8Array<ArrayBuffer> {
  const Q4_0_BYTES = 18
  const count = blocks.length / Q4_0_BYTES
  const scales = Float32Array.from({ length: count }, (_, i) => half(blocks, i * Q4_0_BYTES))
  const minima = narrowToF16(scales.map((d) => -8 * d))
  const out = new Uint8Array(count * Q4_1_BYTES)
  for (let i = 0; i < count; i++) {
    const [from, to] = [i * Q4_0_BYTES, i * Q4_1_BYTES]
    const isPast = Number.isFinite(scales[i]) && (minima[i] & 0x7fff) >= 0x7c00
    if (isPast) {
      const numbers = new Float32Array(BLOCK)
      decodeQ4_0(blocks, from, numbers, 0)
      out.set(new Uint8Array(quantizeBlocks(numbers, 1, BLOCK).buffer), to)
      continue
    }
    out[to] = blocks[from]
    out[to + 1] = blocks[from + 1]
    out[to + 2] = minima[i]
    out[to + 3] = minima[i] >> 8
    for (let k = 0; k < 16; k++) out[to + 4 + k] = blocks[from + 2 + k]
  }
  return out
}

/** Half precision by its pattern. */
const halves = widenF16(Uint16Array.from({ length: 65_536 }, (_, bits) => bits))

function half(bytes: Uint8Array, at: number): number {
  return halves[bytes[at] | (bytes[at + 1] << 8)]
}

function signed(byte: number): number {
  return (byte << 24) >> 24
}

const decodeQ4_0: DecodeBlock = (b, at, out, to) => {
  const d = half(b, at)
  for (let i = 0; i < 16; i++) {
    const q = b[at + 2 + i]
    out[to + i] = ((q & 15) - 8) * d
    out[to + 16 + i] = ((q >> 4) - 8) * d
  }
}

const decodeQ4_1: DecodeBlock = (b, at, out, to) => {
  const d = half(b, at)
  const m = half(b, at + 2)
  for (let i = 0; i < 16; i++) {
    const q = b[at + 4 + i]
    out[to + i] = (q & 15) * d + m
    out[to + 16 + i] = (q >> 4) * d + m
  }
}

/** The fifth bits of a block, one for each number. */
function fifthBits(b: Uint8Array, at: number): number {
  return b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24)
}

const decodeQ5_0: DecodeBlock = (b, at, out, to) => {
  const d = half(b, at)
  const high = fifthBits(b, at + 2)
  for (let i = 0; i < 16; i++) {
    const q = b[at + 6 + i]
    out[to + i] = (((q & 15) | (((high >>> i) & 1) << 4)) - 16) * d
    out[to + 16 + i] = (((q >> 4) | (((high >>> (16 + i)) & 1) << 4)) - 16) * d
  }
}

const decodeQ5_1: DecodeBlock = (b, at, out, to) => {
  const d = half(b, at)
  const m = half(b, at + 2)
  const high = fifthBits(b, at + 4)
  for (let i = 0; i < 16; i++) {
    const q = b[at + 8 + i]
    out[to + i] = ((q & 15) | (((high >>> i) & 1) << 4)) * d + m
    out[to + 16 + i] = ((q >> 4) | (((high >>> (16 + i)) & 1) << 4)) * d + m
  }
}

const decodeQ8_0: DecodeBlock = (b, at, out, to) => {
  const d = half(b, at)
  for (let i = 0; i < 32; i++) out[to + i] = signed(b[at + 2 + i]) * d
}

/** Scale or minimum `part` (0 to 7) of a block of Q4_K or Q5_K: 6 bits each in 12 bytes, four whole and four in two pieces. */
function sixBits(b: Uint8Array, at: number, part: number, isMinimum: boolean): number {
  if (part < 4) return b[at + part + (isMinimum ? 4 : 0)] & 63
  const low = isMinimum ? b[at + part + 4] >> 4 : b[at + part + 4] & 15
  return low | ((b[at + part - (isMinimum ? 0 : 4)] >> 6) << 4)
}

/** Q4_K, and Q5_K, which has 32 bytes of fifth bits before the others. */
const decodeK =
  (hasFifth: boolean): DecodeBlock =>
  (b, at, out, to) => {
    const d = half(b, at)
    const m = half(b, at + 2)
    const fifth = at + 16
    const low = fifth + (hasFifth ? 32 : 0)
    for (let part = 0; part < 8; part++) {
      const scale = d * sixBits(b, at + 4, part, false)
      const minimum = m * sixBits(b, at + 4, part, true)
      const from = low + 32 * (part >> 1)
      const shift = 4 * (part & 1)
      for (let i = 0; i < 32; i++) {
        const high = hasFifth ? ((b[fifth + i] >> part) & 1) << 4 : 0
        out[to + 32 * part + i] = scale * (((b[from + i] >> shift) & 15) | high) - minimum
      }
    }
  }

const decodeQ6_K: DecodeBlock = (b, at, out, to) => {
  const d = half(b, at + 208)
  for (let part = 0; part < 8; part++) {
    // Four parts of 32 share 64 bytes of low bits and 32 bytes of high bits.
    const [group, quarter] = [part >> 2, part & 3]
    const low = at + 64 * group + 32 * (quarter & 1)
    const high = at + 128 + 32 * group
    for (let i = 0; i < 32; i++) {
      const q = ((b[low + i] >> (4 * (quarter >> 1))) & 15) | (((b[high + i] >> (2 * quarter)) & 3) << 4)
      const scale = d * signed(b[at + 192 + 2 * part + (i >> 4)])
      out[to + 32 * part + i] = scale * (q - 32)
    }
  }
}

/** The supported types by their number in ggml. */
export const ggufTypes: ReadonlyMap<number, GgufType> = new Map([
  [0, plain('F32', 4)],
  [1, plain('F16', 2)],
  [2, { ...quantized('Q4_0', 32, 18, decodeQ4_0), asQ4_1: fromQ4_0 }],
  [3, { ...quantized('Q4_1', 32, Q4_1_BYTES, decodeQ4_1), asQ4_1: (blocks) => blocks.slice() }],
  [6, quantized('Q5_0', 32, 22, decodeQ5_0)],
  [7, quantized('Q5_1', 32, 24, decodeQ5_1)],
  [8, quantized('Q8_0', 32, 34, decodeQ8_0)],
  [12, quantized('Q4_K', 256, 144, decodeK(false))],
  [13, quantized('Q5_K', 256, 176, decodeK(true))],
  [14, quantized('Q6_K', 256, 210, decodeQ6_K)],
  [30, plain('BF16', 2)],
])

/** Names of types that are not supported, for errors. */
const otherTypes: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [10, 'Q2_K'],
  [11, 'Q3_K'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [39, 'MXFP4'],
])

/** The name of an unsupported type. */
export function describeGgufType(type: number): string {
  return otherTypes.get(type) ?? `type ${type}`
}
