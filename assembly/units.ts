/**
 * Lists of chosen units, as every op that skips work takes them: a pointer to ascending i32 indices, or null for all.
 */

/** The unit at place `r` of a list; `r` itself where all units are chosen. */
export function unitAt(list: usize, r: i32): i32 {
  return list ? load<i32>(list + ((<usize>r) << 2)) : r
}

/** The address of row `row` of a matrix whose rows hold `width` numbers. */
export function rowAt(matrix: usize, row: i32, width: i32): usize {
  return matrix + ((<usize>row * <usize>width) << 2)
}

/** y[i] += x[i] for chosen i. */
export function addChosen(y: usize, x: usize, list: usize, count: i32): void {
  for (let r = 0; r < count; r++) {
    const at = (<usize>unitAt(list, r)) << 2
    store<f32>(y + at, load<f32>(y + at) + load<f32>(x + at))
  }
}
