/**
 * Lists of the inputs that are not zero, for the input-major ops: of the matrix they read no other rows. A term of zero
 * changes no bit (src/ops/linear_input_major.ts).
 *
 * Rows with gaps between them are read slower than rows in a sequence, so a list pays only if it is short enough.
 */
import { bytes } from './float32'
import { countNonzero } from './quantized_steps'
import { rowAt, unitAt } from './units'

/** Reading a row after a gap takes as long as reading this many bytes more (bench/README.md). */
const JUMP: i64 = 2048

/** No list is longer than this. */
const LONGEST: i32 = 524288

/**
 * Whether a sum over `count` inputs, of which at most `nonzero` are not zero, is faster by a list of these. Rows that are
 * listed already have gaps.
 */
function isWorthListing(nonzero: i32, count: i32, rowBytes: usize, isListed: bool): bool {
  return count <= LONGEST && (isListed || <i64>nonzero * (<i64>rowBytes + JUMP) <= <i64>count * <i64>rowBytes)
}

/**
 * Lists the chosen inputs that are not zero for every one of T tokens, in their order. Returns how many there are; -1,
 * without a list, where a sum is not faster by it.
 */
export function listNonzero(
  list: usize, // [count]
  x: usize, // [T, I]
  inputs: usize, // [count] or null
  T: i32,
  I: i32,
  count: i32,
  rowBytes: usize,
): i32 {
  let nonzero = 0
  if (!inputs) for (let t = 0; t < T; t++) nonzero += countNonzero(rowAt(x, t, I), I)
  if (!isWorthListing(nonzero, count, rowBytes, inputs != 0)) return -1
  const whole = inputs ? 0 : count & ~3
  let kept = 0
  let r = 0
  for (; r < whole; r += 4) {
    let any = f32x4.splat(0)
    for (let t = 0; t < T; t++) any = v128.or(any, f32x4.ne(v128.load(x + bytes(t * I + r)), f32x4.splat(0)))
    for (let lanes = i32x4.bitmask(any); lanes; lanes &= lanes - 1)
      store<i32>(list + bytes(kept++), r + ctz(lanes))
  }
  for (; r < count; r++) {
    const i = unitAt(inputs, r)
    let any = false
    for (let t = 0; t < T; t++) any = any || load<f32>(x + bytes(t * I + i)) != 0
    store<i32>(list + bytes(kept), i)
    kept += i32(any)
  }
  return kept
}
