/**
 * min_max: y = (x - min) / (max - min) per row, 0 for a constant row. One number at a time: of zeros of both signs the
 * first is the least, and the sign shows in y.
 */
import { bytes } from './float32'
import { rowAt } from './units'

export function min_max(
  y: usize, // [T, D]
  x: usize, // [T, D]
  T: i32,
  D: i32,
): void {
  const end = bytes(D)
  for (let t = 0; t < T; t++) {
    const from = rowAt(x, t, D)
    const to = rowAt(y, t, D)
    let least: f32 = Infinity
    let most: f32 = -Infinity
    for (let d: usize = 0; d < end; d += 4) {
      const value = load<f32>(from + d)
      if (value < least) least = value
      if (value > most) most = value
    }
    const range = most - least
    for (let d: usize = 0; d < end; d += 4)
      store<f32>(to + d, range > 0 ? (load<f32>(from + d) - least) / range : 0)
  }
}
