/**
 * The inputs of linear_input_major_i4 in runs of one block each, and tokens rounded run by run.
 */
import { largestSize } from './elementwise'
import { bytes } from './float32'
import { BLOCK, LEVELS, roundBlock } from './int4'
import { nearestSteps } from './quantized_steps'
import { packedLeft, quantized } from './scratch'
import { unitAt } from './units'

/** Bytes of a row in a tile of outputs. */
export const TILE_BYTES: usize = 32

// What stands in `packedLeft`, for up to 49152 inputs: 196608 bytes for a number of each.
const ENDS: usize = 196608
const SLOTS: usize = ENDS + 196672
const RUN_ENDS: usize = SLOTS + 2 * 196608
const RUN_BLOCKS: usize = RUN_ENDS + 196608
const STEPS: usize = RUN_BLOCKS + 196608

// ---- Which inputs ---------------------------------------------------------------------------------------------

function blockAt(blocks: usize, order: usize, r: i32): i32 {
  return load<i32>(blocks + bytes(unitAt(order, r)))
}

/** The chosen inputs in the order of their blocks, [count]. */
export function inBlockOrder(blocks: usize, inputs: usize, count: i32, B: i32): usize {
  const order = packedLeft() // [count]
  const ends = packedLeft() + ENDS // [B + 1]
  memory.fill(ends, 0, bytes(B + 1))
  for (let r = 0; r < count; r++) {
    const at = ends + bytes(blockAt(blocks, inputs, r) + 1)
    store<i32>(at, load<i32>(at) + 1)
  }
  for (let b = 1; b < B; b++) {
    const at = ends + bytes(b)
    store<i32>(at, load<i32>(at) + load<i32>(at - 4))
  }
  for (let r = 0; r < count; r++) {
    const at = ends + bytes(blockAt(blocks, inputs, r))
    const place = load<i32>(at)
    store<i32>(order + bytes(place), unitAt(inputs, r))
    store<i32>(at, place + 1)
  }
  return order
}

/** The slots in which runs of inputs of one block end. */
export function runEnds(): usize {
  return packedLeft() + RUN_ENDS
}

/** The slot in which a run ends, and its block. */
export function runEnd(run: i32): i32 {
  return load<i32>(runEnds() + bytes(run))
}

export function runBlock(run: i32): i32 {
  return load<i32>(packedLeft() + RUN_BLOCKS + bytes(run))
}

/** Where in a tile the row of a slot stands. */
export function slotAt(slot: i32): usize {
  return packedLeft() + SLOTS + bytes(slot)
}

/**
 * Gives each run of inputs of one block an even number of slots, and returns how many runs there are; -1 where the inputs
 * are not in the order of their blocks. An input without a partner has itself for one, times 0.
 */
export function findRuns(blocks: usize, order: usize, count: i32): i32 {
  let runs = 0
  let slot = 0
  let last = -1
  for (let r = 0; r < count; runs++) {
    const b = blockAt(blocks, order, r)
    if (b < last) return -1
    last = b
    for (; r < count && blockAt(blocks, order, r) == b; r++)
      store<usize>(slotAt(slot++), <usize>unitAt(order, r) * TILE_BYTES)
    if (slot & 1) {
      store<usize>(slotAt(slot), load<usize>(slotAt(slot - 1)))
      slot++
    }
    store<i32>(packedLeft() + RUN_ENDS + bytes(runs), slot)
    store<i32>(packedLeft() + RUN_BLOCKS + bytes(runs), b)
  }
  return runs
}

// ---- Rounding -------------------------------------------------------------------------------------------------

/** A token's rounded numbers, [slots] i8. */
export function numbersOf(t: i32, slots: i32): usize {
  return quantized() + <usize>t * <usize>slots
}

/** A token's step, its sum and the sum of its sizes for a run, [3], with room for one more. */
export function stepOf(t: i32, run: i32, runs: i32): usize {
  return packedLeft() + STEPS + bytes((t * runs + run) << 2)
}

/** Rounds the chosen numbers of a token, run by run. */
export function roundToken(t: i32, x: usize, order: usize, runs: i32): void {
  const slots = runs ? runEnd(runs - 1) : 0
  const q = numbersOf(t, slots)
  for (let run = 0, slot = 0, r = 0; run < runs; run++) {
    const end = runEnd(run)
    // The partner of an only input is no input.
    const isOdd = load<usize>(slotAt(end - 1)) == load<usize>(slotAt(end - 2))
    const members = end - slot - i32(isOdd)
    roundChosen(q + <usize>slot, stepOf(t, run, runs), x, order, r, members)
    slot = end
    r += members
  }
}

/** Rounds the chosen numbers of a run; writes them, and what `stepOf` says. */
function roundChosen(q: usize, step: usize, x: usize, order: usize, r: i32, members: i32): void {
  let from = x + bytes(r)
  if (order) {
    from = packedLeft() + ENDS
    for (let k = 0; k < members; k++) store<f32>(from + bytes(k), load<f32>(x + bytes(unitAt(order, r + k))))
  }
  if (members <= BLOCK) {
    store<i32>(step, roundBlock(q, step, step + 4, from, members), 8)
    return
  }
  const size = largestSize(from, members) / LEVELS
  let total = 0
  for (let k = 0; k < members; k++) {
    const steps = nearestSteps(v128.load32_zero(from + bytes(k)), f32x4.splat(size), f32x4.splat(LEVELS))
    total += i32x4.extract_lane(steps, 0)
    store<i8>(q + <usize>k, <i8>i32x4.extract_lane(steps, 0))
  }
  store<i8>(q + <usize>members, 0)
  store<f32>(step, size)
  store<f32>(step, size * <f32>total, 4)
  store<i32>(step, i32.MAX_VALUE, 8)
}
