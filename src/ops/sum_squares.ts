/**
 * sum_squares: adds the sum of the squares of N numbers to a total, striped. Over several tensors in turn it gives the
 * square of their common norm, which gradient clipping compares with its limit.
 */
import { accumulator, defineOp, input, size, type PlainOp } from './op.ts'
import { dot } from './float32.ts'
import { chain, striped } from './relaxed.ts'

/** total += sum_n x[n]^2. */
export function sum_squares(
  total: Float32Array, // [1]
  x: Float32Array, // [N]
  N: number,
): void {
  total[0] += dot(x, 0, x, 0, N)
}

/** Op definition. */
export const sumSquaresOp: PlainOp<typeof sum_squares> = defineOp({
  name: 'sum_squares',
  formula: 'total += sum(x^2)',
  params: [accumulator('total', '1'), input('x', 'N'), size('N')],
  reference: sum_squares,
  relaxed: chain(({ N }) => striped(N) + 1, 'total'),
  flops: ({ N }) => 2 * N,
})
