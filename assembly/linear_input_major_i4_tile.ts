/**
 * linear_input_major_i4 for several tokens: tiles of tokens by lines of outputs (tile.ts), a run of inputs at a time. Four rows
 * are read together, so that four bytes of an output lie side by side and meet four activations.
 */
import { bytes } from './float32'
import { lowerBytes, lowerPairs, upperBytes, upperPairs } from './int16_pairs'
import { ADDS_QUADS, BLOCK, lowerHalves, upperHalves } from './int4'
import { numbersOf, runBlock, runEnd, slotAt, stepOf, TILE_BYTES } from './int4_runs'
import { gatheredRows, nibbles, packedRight, tileSums } from './scratch'
import { opened } from './storage'
import { heightOf, LINE, multiplyTile, SHORT, Short, Tall, TALLEST } from './tile'
import { rowAt } from './units'

/** From this many tokens packing costs less than it saves. */
const LEAST_TOKENS: i32 = WIDE ? 4 : 12
/** Inputs of a run, at most: as many as fit the scratch, and where sums have 16 bits, these. */
const LONGEST_RUN: i32 = ADDS_QUADS ? 512 : BLOCK
/** Bytes of packed tokens, at most. */
const PACKED_TOKENS: i32 = 327680

/** Outputs that are taken together, as their rows are stored; lines of them; and the bytes of their scales in a block. */
const OUTPUTS: i32 = 64
const PANELS: i32 = OUTPUTS / <i32>(LINE / 4)
const SCALES: usize = 256

function runStart(run: i32): i32 {
  return run == 0 ? 0 : runEnd(run - 1)
}

/** Steps of four inputs, the last one filled up. */
function stepsOf(run: i32): i32 {
  return (runEnd(run) - runStart(run) + 3) >> 2
}

/** How many of `tokens` are taken together; 0 where they are too few, or runs too long. */
export function mostTokens(tokens: i32, runs: i32): i32 {
  if (tokens < LEAST_TOKENS) return 0
  let size = 0
  for (let run = 0; run < runs; run++) {
    if (stepsOf(run) << 2 > LONGEST_RUN) return 0
    size += (stepsOf(run) + 2) << 2
  }
  const most = min<i32>(tokens, PACKED_TOKENS / max<i32>(size, 1) - TALLEST)
  return most >= LEAST_TOKENS ? most : 0
}

/** Columns from..to of y. */
export function multiplyTiled(
  y: usize, // [tokens, O]
  weight: usize,
  scales: usize,
  runs: i32,
  tokens: i32,
  slots: i32,
  O: i32,
  S: i32,
  B: i32,
  from: i32,
  to: i32,
): void {
  packTokens(runs, tokens, slots)
  const rows = rowsOf(tokens)
  for (let o = from; o < to; o += OUTPUTS) {
    const c = <usize>(o >> 6)
    memory.fill(tileSums(), 0, bytes(rows * OUTPUTS))
    let left = gatheredRows()
    for (let run = 0; run < runs; run++) {
      const at = scales + (c * <usize>B + <usize>runBlock(run)) * (SCALES * 2)
      packRun(weight + c * <usize>S * TILE_BYTES, run, at)
      left = multiplyRun(left, stepsOf(run), tokens, rows)
    }
    for (let t = 0, height = 0, row = 0; t < tokens; t += height) {
      height = heightOf<opened, f32>(tokens - t)
      const t0 = min<i32>(t, tokens - height)
      for (let k = 0; k < height; k++, row++)
        for (let panel = 0, column = o; panel < PANELS && column < to; panel++, column += <i32>(LINE / 4))
          memory.copy(
            rowAt(y, t0 + k, O) + bytes(column),
            sumsOf(panel, row, rows),
            bytes(min<i32>(<i32>(LINE / 4), to - column)),
          )
    }
  }
}

/** The sums of a line of outputs, [panel][row] LINE. */
function sumsOf(panel: i32, row: i32, rows: i32): usize {
  return tileSums() + LINE * <usize>(panel * rows + row)
}

/** The rows of all tiles. */
function rowsOf(tokens: i32): i32 {
  let rows = 0
  while (rows < tokens) rows += heightOf<opened, f32>(tokens - rows)
  return rows
}

/** The tokens as [run][tile][step][row] four bytes, then their steps and sums. */
function packTokens(runs: i32, tokens: i32, slots: i32): void {
  let to = gatheredRows()
  for (let run = 0; run < runs; run++) {
    const slot = runStart(run)
    const count = runEnd(run) - slot
    for (let t = 0, height = 0; t < tokens; t += height) {
      height = heightOf<opened, f32>(tokens - t)
      const t0 = min<i32>(t, tokens - height)
      for (let k = 0; k < height; k++) {
        const q = numbersOf(t0 + k, slots) + <usize>slot
        let at = to + bytes(k)
        for (let s = 0; s < count; s += 4) {
          // Runs have an even number of slots.
          store<u32>(at, s + 2 < count ? load<u32>(q + <usize>s) : load<u16>(q + <usize>s))
          at += bytes(height)
        }
        const step = stepOf(t0 + k, run, runs)
        store<f32>(at, load<f32>(step))
        store<f32>(at + bytes(height), load<f32>(step, 4))
      }
      to += bytes(height * (stepsOf(run) + 2))
    }
  }
}

/** Bytes of a panel of `steps` steps. */
function panelOf(steps: i32): usize {
  return LINE * <usize>(steps + 2)
}

/** A run of rows as [panel][step] opened numbers, after each panel's steps its scales and minima. */
function packRun(rows: usize, run: i32, scales: usize): void {
  const steps = stepsOf(run)
  const last = runEnd(run) - 1
  const panel = panelOf(steps)
  let slot = runStart(run)
  for (let to = packedRight(), end = to + LINE * <usize>steps; to < end; to += LINE, slot += 4) {
    const row0 = rows + load<usize>(slotAt(slot))
    const row1 = rows + load<usize>(slotAt(slot + 1))
    const row2 = rows + load<usize>(slotAt(min<i32>(slot + 2, last)))
    const row3 = rows + load<usize>(slotAt(min<i32>(slot + 3, last)))
    openFour(to, panel, v128.load(row0), v128.load(row1), v128.load(row2), v128.load(row3))
    openFour(
      to + panel * <usize>(PANELS / 2),
      panel,
      v128.load(row0, 16),
      v128.load(row1, 16),
      v128.load(row2, 16),
      v128.load(row3, 16),
    )
  }
  for (let k: usize = 0; k < <usize>PANELS; k++) {
    const to = packedRight() + panel * k + LINE * <usize>steps
    memory.copy(to, scales + LINE * k, LINE)
    memory.copy(to + LINE, scales + SCALES + LINE * k, LINE)
  }
}

/** Sixteen bytes of each of four rows, opened: 32 outputs of four numbers. */
function openFour(to: usize, panel: usize, a: v128, b: v128, c: v128, d: v128): void {
  const mask = v128.load(nibbles())
  const ab0 = lowerBytes(a, b)
  const cd0 = lowerBytes(c, d)
  const ab1 = upperBytes(a, b)
  const cd1 = upperBytes(c, d)
  const n0 = lowerPairs(ab0, cd0)
  const n1 = upperPairs(ab0, cd0)
  const n2 = lowerPairs(ab1, cd1)
  const n3 = upperPairs(ab1, cd1)
  const next = WIDE ? to + 32 : to + panel
  v128.store(to, lowerHalves(n0, mask))
  v128.store(to, lowerHalves(n1, mask), 16)
  v128.store(next, lowerHalves(n2, mask))
  v128.store(next, lowerHalves(n3, mask), 16)
  const skip = WIDE ? panel : panel * 2
  v128.store(to + skip, upperHalves(n0, mask))
  v128.store(to + skip, upperHalves(n1, mask), 16)
  v128.store(next + skip, upperHalves(n2, mask))
  v128.store(next + skip, upperHalves(n3, mask), 16)
}

/** Adds the packed run to the sums of all tokens; returns where the tokens of the next run begin. */
function multiplyRun(left: usize, steps: i32, tokens: i32, rows: i32): usize {
  const size = LINE * <usize>steps
  const panel = panelOf(steps)
  for (let t = 0, height = 0, row = 0; t < tokens; t += height) {
    height = heightOf<opened, f32>(tokens - t)
    let right = packedRight()
    for (let k = 0; k < PANELS; k++) {
      if (height == SHORT) multiplyTile<opened, f32, Short>(left, right, size, sumsOf(k, row, rows))
      else multiplyTile<opened, f32, Tall>(left, right, size, sumsOf(k, row, rows))
      right += panel
    }
    row += height
    left += bytes(height * (steps + 2))
  }
  return left
}
