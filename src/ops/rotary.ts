/**
 * rotary: positions as rotations (Su et al. 2021, arXiv 2104.09864), as Hugging Face has them for the Llama family: number
 * i of a head and number i + M form a pair, M = floor(K / 2), which turns by an angle of its own at each position.
 *
 *   y[t, h, i]     = x[t, h, i] cos[t, i] - x[t, h, i + M] sin[t, i]        i < M
 *   y[t, h, i + M] = x[t, h, i + M] cos[t, i] + x[t, h, i] sin[t, i]
 *
 * A last number without a partner stays as it is. Row t of the table holds the cosines of the position of token t, then the
 * sines: [cos[t, 0..M-1], sin[t, 0..M-1]] (rotary_table.ts). Products are rounded before they are added.
 *
 * Backward: the same by the opposite angle.
 */

const { fround } = Math

/** Turns every pair of every head by the angle of its token. */
export function rotary(
  y: Float32Array, // [T, H, K], may be x
  x: Float32Array, // [T, H, K]
  table: Float32Array, // [T, K]
  T: number,
  H: number,
  K: number,
): void {
  turn(y, x, table, 1, T, H, K)
}

/** Gradient of rotary. */
export function rotary_backward(
  x_grad: Float32Array, // [T, H, K], may be y_grad
  y_grad: Float32Array, // [T, H, K]
  table: Float32Array, // [T, K]
  T: number,
  H: number,
  K: number,
): void {
  turn(x_grad, y_grad, table, -1, T, H, K)
}

/** By the angles of the table, or the other way round where `direction` is -1. */
function turn(
  y: Float32Array,
  x: Float32Array,
  table: Float32Array,
  direction: 1 | -1,
  T: number,
  H: number,
  K: number,
): void {
  const M = Math.floor(K / 2)
  for (let t = 0; t < T; t++)
    for (let h = 0; h < H; h++) {
      const at = (t * H + h) * K
      for (let i = 0; i < M; i++) {
        const [cos, sin] = [table[t * K + i], direction * table[t * K + M + i]]
        const [first, second] = [x[at + i], x[at + i + M]]
        y[at + i] = fround(first * cos) - fround(second * sin)
        y[at + i + M] = fround(second * cos) + fround(first * sin)
      }
      if (K % 2 === 1) y[at + K - 1] = x[at + K - 1]
    }
}
