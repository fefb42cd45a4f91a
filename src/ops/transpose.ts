/**
 * transpose: y[i, o] = x[o, i]. Turns PyTorch's out_proj and fc2, one row per output, into input-major form at load.
 * Patterns of half precision are moved as they are.
 */
import type { Numbers } from './op.ts'

/** y = xᵀ, of numbers of any kind. */
export function transpose(
  y: Numbers, // [I, O]
  x: Numbers, // [O, I]
  O: number,
  I: number,
): void {
  for (let o = 0; o < O; o++) for (let i = 0; i < I; i++) y[i * O + o] = x[o * I + i]
}
