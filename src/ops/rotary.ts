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
import { defineOp, input, output, size, type PlainOp } from './op.ts'

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

/** Op definition. */
export const rotaryOp: PlainOp<typeof rotary> = defineOp({
  name: 'rotary',
  formula: 'y[i] = x[i] cos - x[i + M] sin, y[i + M] = x[i + M] cos + x[i] sin, of each head',
  params: [
    output('y', 'T H*K', { mayAlias: 'x' }),
    input('x', 'T H*K'),
    input('table', 'T K'),
    size('T'),
    size('H'),
    size('K'),
  ],
  reference: rotary,
  flops: ({ T, H, K }) => 3 * T * H * K,
  gradients: [
    {
      of: ['x'],
      op: 'rotary_backward',
      bind: { x_grad: 'x_grad', y_grad: 'y_grad', table: 'table', T: 'T', H: 'H', K: 'K' },
    },
  ],
})

/** Op definition. */
export const rotaryBackwardOp: PlainOp<typeof rotary_backward> = defineOp({
  name: 'rotary_backward',
  formula: 'x_grad[i] = y_grad[i] cos + y_grad[i + M] sin, x_grad[i + M] = y_grad[i + M] cos - y_grad[i] sin',
  params: [
    output('x_grad', 'T H*K', { mayAlias: 'y_grad' }),
    input('y_grad', 'T H*K'),
    input('table', 'T K'),
    size('T'),
    size('H'),
    size('K'),
  ],
  reference: rotary_backward,
  flops: ({ T, H, K }) => 3 * T * H * K,
})
