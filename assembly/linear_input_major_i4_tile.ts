/**
 * linear_input_major_i4 for several tokens: tiles of tokens by lines of outputs (int4_blocks.ts). Four rows of a run of inputs
 * are opened together, so that four bytes of an output lie side by side and meet four activations.
 */
import { bytes } from './float32'
import { lowerBytes, lowerPairs, upperBytes, upperPairs } from './int16_pairs'
import { ADDS_QUADS, BLOCK, lowerHalves, upperHalves } from './int4'
import { addBlocks, AFTER, stepsOf } from './int4_blocks'
import { numbersOf, runBlock, runEnd, runEnds, slotAt, stepOf, TILE_BYTES } from './int4_runs'
import { gatheredRows, nibbles, packedRight, tileSums } from './scratch'
import { opened } from './storage'
import { heightOf, LINE, TALLEST } from './tile'
import { rowAt } from './units'

/** From this many tokens packing costs less than it saves. */
const LEAST_TOKENS: i32 = WIDE ? 4 : 12
/** Inputs of a run, at most: as many as fit the scratch, and where sums have 16 bits, these. */
const LONGEST_RUN: i32 = ADDS_QUADS ? 512 : BLOCK
/** Bytes of packed tokens, and of packed rows, at most. */
const PACKED_TOKENS: i32 = 327680
const PACKED_ROWS: i32 = 262144

/** Outputs whose scales stand together, and their bytes. */
const OUTPUTS: i32 = 64
const SCALES: usize = 256
/** Outputs of half a row, sixteen bytes, which are opened together; and lines of them. */
const HALF: i32 = 32
const PANELS: i32 = HALF / <i32>(LINE / 4)

function runStart(run: i32): i32 {
  return run == 0 ? 0 : runEnd(run - 1)
}

/** Lines of a packed run, and numbers of a packed token. */
function linesOf(run: i32): i32 {
  return stepsOf(runEnd(run) - runStart(run)) + AFTER
}

/** How many of `tokens` are taken together; 0 where they are too few, or runs too long. */
export function mostTokens(tokens: i32, runs: i32): i32 {
  if (tokens < LEAST_TOKENS) return 0
  let size = 0
  for (let run = 0; run < runs; run++) {
    if (runEnd(run) - runStart(run) > LONGEST_RUN) return 0
    size += linesOf(run) << 2
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
  const rows = rowsOfAll(tokens)
  for (let o = from; o < to; o += HALF) {
    const c = <usize>(o >> 6)
    const half = <usize>((o & (OUTPUTS - 1)) / HALF)
    const at = weight + c * <usize>S * TILE_BYTES + half * 16
    memory.fill(tileSums(), 0, bytes(rows * HALF))
    for (let run = 0; run < runs;) {
      const end = lastOf(run, runs)
      packRuns(at, scales + c * <usize>B * (SCALES * 2) + half * (SCALES / 2), run, end)
      addRuns(run, end, runs, tokens, rows)
      run = end
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

/** The run after those from `run` on that are packed together. */
function lastOf(run: i32, runs: i32): i32 {
  let size = 0
  for (; run < runs; run++) {
    size += linesOf(run) * <i32>LINE * PANELS
    if (size > PACKED_ROWS) return run
  }
  return runs
}

/** The sums of a line of outputs, [panel][row] LINE. */
function sumsOf(panel: i32, row: i32, rows: i32): usize {
  return tileSums() + LINE * <usize>(panel * rows + row)
}

/** The rows of all tiles. */
function rowsOfAll(tokens: i32): i32 {
  let rows = 0
  while (rows < tokens) rows += heightOf<opened, f32>(tokens - rows)
  return rows
}

/** The tokens as [tile][run][step][row] four bytes, after each run their steps and sums. */
function packTokens(runs: i32, tokens: i32, slots: i32): void {
  let to = gatheredRows()
  for (let t = 0, height = 0; t < tokens; t += height) {
    height = heightOf<opened, f32>(tokens - t)
    const t0 = min<i32>(t, tokens - height)
    for (let run = 0; run < runs; run++) {
      const slot = runStart(run)
      const count = runEnd(run) - slot
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
      to += bytes(height * linesOf(run))
    }
  }
}

/** Runs of half rows as [panel][run][step] opened numbers, after each run the scales and minima of its block. */
function packRuns(rows: usize, scales: usize, run: i32, end: i32): void {
  const panel = panelOf(run, end)
  let to = packedRight()
  for (; run < end; run++) {
    const last = runEnd(run) - 1
    for (let slot = runStart(run); slot <= last; slot += 4) {
      openFour(
        to,
        panel,
        v128.load(rows + load<usize>(slotAt(slot))),
        v128.load(rows + load<usize>(slotAt(slot + 1))),
        v128.load(rows + load<usize>(slotAt(min<i32>(slot + 2, last)))),
        v128.load(rows + load<usize>(slotAt(min<i32>(slot + 3, last)))),
      )
      to += LINE
    }
    const from = scales + <usize>runBlock(run) * (SCALES * 2)
    for (let k: usize = 0; k < <usize>PANELS; k++) {
      memory.copy(to + panel * k, from + LINE * k, LINE)
      memory.copy(to + panel * k + LINE, from + SCALES + LINE * k, LINE)
    }
    to += LINE * AFTER
  }
}

/** Bytes of a panel of runs. */
function panelOf(run: i32, end: i32): usize {
  let lines = 0
  for (; run < end; run++) lines += linesOf(run)
  return LINE * <usize>lines
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

/** Adds the packed runs to the sums of all tokens. */
function addRuns(run: i32, end: i32, runs: i32, tokens: i32, rows: i32): void {
  const panel = panelOf(run, end)
  let left = gatheredRows()
  for (let t = 0, height = 0, row = 0; t < tokens; t += height) {
    height = heightOf<opened, f32>(tokens - t)
    const from = left + bytes(height) * (panelOf(0, run) / LINE)
    for (let k = 0; k < PANELS; k++)
      addBlocks(
        sumsOf(k, row, rows),
        from,
        packedRight() + panel * <usize>k,
        runEnds() + bytes(run),
        runStart(run),
        end - run,
        height,
      )
    row += height
    left += bytes(height) * (panelOf(0, runs) / LINE)
  }
}
