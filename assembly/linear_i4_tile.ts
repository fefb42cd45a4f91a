/**
 * linear_i4 for several tokens: tiles of tokens by two vectors of rows (tile.ts), a block at a time. Rows lie side by side, so
 * a lane is a row. A line of rows is opened once for all tokens, and what a block adds to its sums follows its products.
 */
import { bytes } from './float32'
import { BLOCK, fourHalves, lowerHalves, QUAD, upperHalves } from './int4'
import { addBlocks, AFTER } from './int4_blocks'
import { finish, fourRows, numbersOf, stepsOf, sumsOf as sumsOfToken } from './int4_rows'
import { accumulators, halfPlaces, nibbles, packedLeft, tileSums } from './scratch'
import { f16, inUnits, opened } from './storage'
import { heightOf, LINE } from './tile'
import { rowAt } from './units'

/** From this many tokens packing costs less than it saves. */
const LEAST_TOKENS: i32 = WIDE ? 4 : 12

/** Steps of a block. */
const STEPS: usize = 8
/** Bytes of a packed block of a line of rows, and of a token. */
const LINE_BLOCK: usize = LINE * (STEPS + AFTER)
const TOKEN_BLOCK: usize = 4 * (STEPS + AFTER)
/** Groups of four rows in a line. */
const QUADS: i32 = <i32>(LINE / 16)

/** Whether `multiplyTiled` takes this shape. */
export function isTiled(tokens: i32): bool {
  return tokens >= LEAST_TOKENS
}

/** Where blocks end, [B]. */
function blockEnds(): usize {
  return tileSums() + 16
}

/** The sums of a token of a tile. */
function sumsOf(k: i32): usize {
  return accumulators() + LINE * <usize>k
}

/** A packed line of rows: behind the packed tokens, which are no more than are taken together (linear_i4.ts). */
function packedLine(): usize {
  return packedLeft() + 262144
}

export function multiplyTiled(
  y: usize, // [tokens, O]
  weight: usize,
  bias: usize,
  rows: usize,
  count: i32,
  tokens: i32,
  O: i32,
  B: i32,
): void {
  packTokens(tokens, B)
  for (let b = 0; b < B; b++) store<i32>(blockEnds() + bytes(b), (b + 1) * BLOCK)
  const quads = (count + 3) >> 2
  for (let quad = 0; quad < quads; quad += QUADS) {
    const size = min<i32>(QUADS, quads - quad)
    for (let k = 0; k < QUADS; k++)
      packQuad(
        packedLine() + ((<usize>k) << 4),
        fourRows(0, weight, rows, quad + min<i32>(k, size - 1), count, B),
        B,
      )
    let left = packedLeft()
    for (let t = 0, height = 0; t < tokens; t += height) {
      height = heightOf<opened, f32>(tokens - t)
      const t0 = min<i32>(t, tokens - height)
      memory.fill(sumsOf(0), 0, LINE * <usize>height)
      addBlocks(sumsOf(0), left, packedLine(), blockEnds(), 0, B, height)
      for (let k = 0; k < height; k++) {
        for (let q = 0; q < size; q++)
          finish(rowAt(y, t0 + k, O), v128.load(sumsOf(k) + ((<usize>q) << 4)), bias, rows, quad + q, count)
      }
      left += TOKEN_BLOCK * <usize>(height * B)
    }
  }
}

/** The tokens as [tile][block][step 8][token] four bytes, after each block its steps and its sums. */
function packTokens(tokens: i32, B: i32): void {
  let tile = packedLeft()
  for (let t = 0, height = 0; t < tokens; t += height) {
    height = heightOf<opened, f32>(tokens - t)
    const t0 = min<i32>(t, tokens - height)
    const step = bytes(height)
    for (let k = 0; k < height; k++) {
      let to = tile + bytes(k)
      let q = numbersOf(t0 + k, B)
      for (let b = 0; b < B; b++) {
        for (let s: usize = 0; s < STEPS; s++) {
          store<u32>(to, load<u32>(q))
          q += 4
          to += step
        }
        store<f32>(to, load<f32>(stepsOf(t0 + k, B) + bytes(b)))
        to += step
        store<f32>(to, load<f32>(sumsOfToken(t0 + k, B) + bytes(b)))
        to += step
      }
    }
    tile += TOKEN_BLOCK * <usize>(height * B)
  }
}

/** Four rows of a line: [block][step 8] opened numbers, after each block the scales and the minima. */
function packQuad(to: usize, w: usize, B: i32): void {
  const mask = v128.load(nibbles())
  const places = v128.load(halfPlaces())
  for (const end = w + <usize>B * QUAD; w < end; w += QUAD) {
    const n0 = v128.load(w, 16)
    const n1 = v128.load(w, 32)
    const n2 = v128.load(w, 48)
    const n3 = v128.load(w, 64)
    v128.store(to, lowerHalves(n0, mask))
    v128.store(to, lowerHalves(n1, mask), LINE)
    v128.store(to, lowerHalves(n2, mask), LINE * 2)
    v128.store(to, lowerHalves(n3, mask), LINE * 3)
    v128.store(to, upperHalves(n0, mask), LINE * 4)
    v128.store(to, upperHalves(n1, mask), LINE * 5)
    v128.store(to, upperHalves(n2, mask), LINE * 6)
    v128.store(to, upperHalves(n3, mask), LINE * 7)
    v128.store(to, inUnits<f16>(fourHalves(w, places)), LINE * STEPS)
    v128.store(to, inUnits<f16>(fourHalves(w + 8, places)), LINE * (STEPS + 1))
    to += LINE_BLOCK
  }
}
