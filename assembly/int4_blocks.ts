/**
 * Tiles of int4 over blocks of terms (tile.ts). One function does all blocks of a tile: a call for each costs a third.
 */
import { bytes } from './float32'
import { opened } from './storage'
import { LINE, rowsOf, SHORT, Short, Tall, Tile } from './tile'

/** Lines and numbers after the steps of a block: scales and minima, steps and sums. */
export const AFTER: i32 = 2

/** The steps of a block of `count` terms, four terms each. */
export function stepsOf(count: i32): i32 {
  return (count + 3) >> 2
}

/** Adds blocks of a tile of `height` tokens by a line of outputs. */
export function addBlocks(
  to: usize, // [height] LINE
  left: usize, // [blocks, steps + 2, height] 4 bytes
  right: usize, // [blocks, steps + 2] LINE
  ends: usize, // [blocks]: where each ends
  start: i32, // where the first begins
  blocks: i32,
  height: i32,
): void {
  if (height == SHORT) addBlocksTo<Short>(to, left, right, ends, start, blocks)
  else addBlocksTo<Tall>(to, left, right, ends, start, blocks)
}

function addBlocksTo<H>(to: usize, left: usize, right: usize, ends: usize, start: i32, blocks: i32): void {
  const height = rowsOf<opened, f32, H>()
  for (const last = ends + bytes(blocks); ends < last; ends += 4) {
    const end = load<i32>(ends)
    const steps = stepsOf(end - start)
    Tile.multiply<opened, f32, H>(left, right, LINE * <usize>steps, to)
    left += bytes((steps + AFTER) * height)
    right += LINE * <usize>(steps + AFTER)
    start = end
  }
}
