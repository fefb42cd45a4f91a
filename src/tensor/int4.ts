/**
 * Matrices of 4-bit numbers: blocks of 32 consecutive inputs of an output share a scale and a minimum in half precision.
 *
 *   weight[o, i] = scale[o, b] * n[o, i] + minimum[o, b]        n in 0..15, b = floor(i / 32)
 *
 * A block takes 20 bytes, 5 bits a number. It is what GGUF calls Q4_1, with the same bytes; a block of Q4_0, whose numbers
 * are scale * (n - 8), is one with the minimum -8 * scale. The last block of a row that does not fill it has numbers of 0,
 * which meet no input.
 *
 * Kernels hold them in one of two layouts, for the sake of what they read together:
 *
 *   four rows  a row per output, four of them side by side: of each block the four scales, the four minima, then
 *              four times sixteen bytes; row r of the four has bytes 4 r to 4 r + 3 of each sixteen. Of those bytes,
 *              byte k of piece j has input 4 j + k in its lower half and input 16 + 4 j + k in its upper half.
 *   units      tiles of 64 outputs, each with a row of 32 bytes per input, so that a unit is half a line of a cache in every
 *              tile: byte k has output 32 floor(k / 16) + k mod 16 in its lower half and the one 16 further in its upper
 *              half. Of each tile and block the 64 scales and the 64 minima stand apart, widened to float32: with
 *              few units kept, a block's scales are read for few numbers.
 */
import { narrowToF16, widenF16 } from './halves.ts'

/** Numbers of a block. */
export const BLOCK = 32

/** Bytes of a block, and of four of them side by side. */
export const BLOCK_BYTES = 20
export const QUAD_BYTES: number = 4 * BLOCK_BYTES

/** Words of 32 bits in a block: scale and minimum, then four of numbers. */
const WORDS = 5

/** How many blocks a row of so many inputs has. */
export function blocksOf(inputs: number): number {
  return Math.ceil(inputs / BLOCK)
}

// ---- Rounding -------------------------------------------------------------------------------------------------

/**
 * Rows rounded to 4 bits: minimum = the smallest number of a block, scale = (largest - smallest) / 15, both rounded to half
 * precision; n = nearest((x - minimum) / scale) within 0..15.
 * @param x [rows, inputs], below 65,520 in size; a block that has larger numbers may be one that `areFinite` refuses
 * @returns [rows, blocks, 5] words
 */
export function quantizeBlocks(x: Float32Array, rows: number, inputs: number): Uint32Array {
  const B = blocksOf(inputs)
  const ranges = rangesOf(x, rows, inputs) // [rows, blocks, 2]
  const halves = narrowToF16(ranges)
  const rounded = widenF16(halves, ranges)
  const words = new Uint32Array(rows * B * WORDS)
  const signed = new Int32Array(words.buffer) // engines shift and combine signed words faster
  for (let block = 0, at = 0; block < rows * B; block++, at += WORDS) {
    const row = Math.floor(block / B)
    const from = row * inputs + (block - row * B) * BLOCK
    const length = Math.min(BLOCK, (row + 1) * inputs - from)
    const [scale, minimum] = [rounded[2 * block], rounded[2 * block + 1]]
    words[at] = halves[2 * block] | (halves[2 * block + 1] << 16)
    if (scale === 0) continue
    for (let i = 0; i < length; i++) {
      const steps = (x[from + i] - minimum) / scale + 0.5
      const n = steps < 0 ? 0 : steps >= 15 ? 15 : steps | 0
      signed[at + 1 + ((i & 15) >> 2)] |= n << (8 * (i & 3) + ((i & 16) >> 2))
    }
  }
  return words
}

/** The scale and the minimum of each block before they are rounded. */
function rangesOf(x: Float32Array, rows: number, inputs: number): Float32Array {
  const ranges = new Float32Array(2 * rows * blocksOf(inputs))
  let at = 0
  for (let row = 0; row < rows; row++)
    for (let from = 0; from < inputs; from += BLOCK) {
      const start = row * inputs + from
      const end = start + Math.min(BLOCK, inputs - from)
      let least = x[start]
      let most = x[start]
      for (let i = start + 1; i < end; i++) {
        if (x[i] < least) least = x[i]
        if (x[i] > most) most = x[i]
      }
      ranges[at++] = (most - least) / 15
      ranges[at++] = least
    }
  return ranges
}

/** Whether the scale and the minimum of each block are finite. */
export function areFinite(words: Uint32Array): boolean {
  for (let at = 0; at < words.length; at += WORDS)
    if ((words[at] & 0x7c00) === 0x7c00 || (words[at] & 0x7c000000) === 0x7c000000) return false
  return true
}

/** The numbers that blocks stand for, each operation rounded to float32. @returns [rows, inputs] */
export function dequantizeBlocks(words: Uint32Array, rows: number, inputs: number): Float32Array {
  const B = blocksOf(inputs)
  const x = new Float32Array(rows * inputs)
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < inputs; i++) {
      const at = (row * B + Math.floor(i / BLOCK)) * WORDS
      const [scale, minimum] = widenF16(Uint16Array.of(words[at], words[at] >>> 16))
      x[row * inputs + i] = Math.fround(scale * numberAt(words, at, i % BLOCK)) + minimum
    }
  return x
}

/** Number i of the block at these words. */
function numberAt(words: Uint32Array, at: number, i: number): number {
  return (words[at + 1 + ((i & 15) >> 2)] >>> (8 * (i & 3) + ((i & 16) >> 2))) & 15
}

// ---- Layouts --------------------------------------------------------------------------------------------------

/**
 * Blocks of rows as four rows side by side. Places of rows past the last are zeros.
 * @param words [O, B, 5]
 * @returns [ceil(O / 4), B, 80] bytes
 */
export function interleaveRows(words: Uint32Array, O: number, B: number): Uint8Array {
  const quads = new Uint32Array(Math.ceil(O / 4) * B * (QUAD_BYTES / 4))
  for (let o = 0; o < O; o++)
    for (let b = 0; b < B; b++) {
      const from = (o * B + b) * WORDS
      const to = ((o >> 2) * B + b) * (QUAD_BYTES / 4)
      const lane = o & 3
      const half = 16 * (lane & 1)
      quads[to + (lane >> 1)] |= (words[from] & 0xffff) << half
      quads[to + 2 + (lane >> 1)] |= (words[from] >>> 16) << half
      for (let j = 0; j < 4; j++) quads[to + 4 + 4 * j + lane] = words[from + 1 + j]
    }
  return new Uint8Array(quads.buffer)
}

/** A row of four side by side, opened. */
export interface OpenRow {
  readonly numbers: Uint8Array // [32 B]
  readonly scales: Float32Array // [B]
  readonly minima: Float32Array // [B]
}

/** Row o of a matrix of four rows side by side. @param quads [ceil(O / 4), B, 80] */
export function openRow(quads: Uint8Array, o: number, B: number): OpenRow {
  const numbers = new Uint8Array(B * BLOCK)
  const patterns = new Uint16Array(2 * B)
  const lane = o & 3
  for (let b = 0; b < B; b++) {
    const at = ((o >> 2) * B + b) * QUAD_BYTES
    const half = (place: number): number => quads[place] | (quads[place + 1] << 8)
    patterns[b] = half(at + 2 * lane)
    patterns[B + b] = half(at + 8 + 2 * lane)
    for (let k = 0; k < 16; k++) {
      const byte = quads[at + 16 + 16 * (k >> 2) + 4 * lane + (k & 3)]
      numbers[b * BLOCK + k] = byte & 15
      numbers[b * BLOCK + 16 + k] = byte >> 4
    }
  }
  const both = widenF16(patterns)
  return { numbers, scales: both.subarray(0, B), minima: both.subarray(B) }
}

/** A matrix with a row per unit. */
export interface UnitRows {
  readonly values: Uint8Array // [ceil(O / 64), I, 32]
  readonly scales: Float32Array // [ceil(O / 64), B, 128]: 64 scales, then 64 minima
}

/** Outputs of a tile, and its bytes in a row. */
export const TILE = 64
export const TILE_BYTES = 32

/** Blocks of rows turned into rows of units. @param words [O, B, 5] */
export function turnBlocks(words: Uint32Array, O: number, I: number): UnitRows {
  const B = blocksOf(I)
  const C = Math.ceil(O / TILE)
  const values = new Uint8Array(C * I * TILE_BYTES)
  const patterns = new Uint16Array(C * B * 2 * TILE)
  for (let o = 0; o < O; o++)
    for (let b = 0; b < B; b++) {
      const at = (o * B + b) * WORDS
      const inTile = scaleAt(o, b, B)
      patterns[inTile] = words[at]
      patterns[inTile + TILE] = words[at] >>> 16
      const { byte, shift } = placeOf(o, b * BLOCK, I)
      const inputs = Math.min(BLOCK, I - b * BLOCK)
      for (let i = 0, to = byte; i < inputs; i++, to += TILE_BYTES)
        values[to] |= numberAt(words, at, i) << shift
    }
  return { values, scales: widenF16(patterns) }
}

/** Where output o of unit i stands, of S units. */
function placeOf(o: number, i: number, S: number): { readonly byte: number; readonly shift: number } {
  return {
    byte: (Math.floor(o / TILE) * S + i) * TILE_BYTES + ((o & 32) >> 1) + (o & 15),
    shift: (o & 16) >> 2,
  }
}

/** Number o of unit i. @param values [C, S, 32] */
export function unitNumber(values: Uint8Array, o: number, i: number, S: number): number {
  const { byte, shift } = placeOf(o, i, S)
  return (values[byte] >> shift) & 15
}

/** Where the scale of output o in block b stands; its minimum stands TILE further. */
export function scaleAt(o: number, b: number, B: number): number {
  return (Math.floor(o / TILE) * B + b) * 2 * TILE + (o % TILE)
}
