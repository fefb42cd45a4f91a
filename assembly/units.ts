/**
 * Lists of chosen units for every op that skips work: a pointer to ascending i32 indices, or null for all. And the list
 * that says which key head each head reads.
 */
import { bytes } from './float32'

/** The unit at place `r` of a list; `r` itself where all units are chosen. */
export function unitAt(list: usize, r: i32): i32 {
  return list ? load<i32>(list + ((<usize>r) << 2)) : r
}

/** The key head, below G, of head h of H, as in src/ops/key_heads.ts. @param key_heads [H] or null */
export function keyHeadOf(key_heads: usize, h: i32, G: i32, H: i32): i32 {
  return key_heads ? load<i32>(key_heads + ((<usize>h) << 2)) : <i32>((<i64>h * <i64>G) / <i64>H)
}

/** The address of row `row` of a matrix whose rows hold `width` numbers. */
export function rowAt(matrix: usize, row: i32, width: i32): usize {
  return matrix + ((<usize>row * <usize>width) << 2)
}

/**
 * Sets to +0 what entries from..to of a list own of y: from the unit of the first to that of entry `to`, or to the end.
 * Whatever parts a list is cut into, together they own all U units, which hold `size` numbers each.
 */
export function clearOwned(
  y: usize, // [T, U, size]
  list: usize, // [count]
  T: i32,
  U: i32,
  size: i32,
  count: i32,
  from: i32,
  to: i32,
): void {
  const first = from == 0 ? 0 : unitAt(list, from)
  const end = to == count ? U : unitAt(list, to)
  for (let t = 0; t < T; t++)
    memory.fill(rowAt(y, t * U + first, size), 0, <usize>(end - first) * bytes(size))
}

/** y[i] += x[i] for chosen i. */
export function addChosen(y: usize, x: usize, list: usize, count: i32): void {
  for (let r = 0; r < count; r++) {
    const at = (<usize>unitAt(list, r)) << 2
    store<f32>(y + at, load<f32>(y + at) + load<f32>(x + at))
  }
}
