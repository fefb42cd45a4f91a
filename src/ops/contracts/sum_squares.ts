/**
 * The contract of sum_squares: parameters, cost, gradients and bounds.
 */
import { type PlainOp, defineOp, accumulator, input, size } from '../op.ts'
import { sum_squares } from '../sum_squares.ts'
import { chain, striped } from '../relaxed.ts'

/** Op definition. */
export const sumSquaresOp: PlainOp<typeof sum_squares> = defineOp({
  name: 'sum_squares',
  formula: 'total += sum(x^2)',
  params: [accumulator('total', '1'), input('x', 'N'), size('N')],
  reference: sum_squares,
  relaxed: chain(({ N }) => striped(N) + 1, 'total'),
  flops: ({ N }) => 2 * N,
})
