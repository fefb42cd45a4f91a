/**
 * The contracts of cholesky and solve_cholesky: parameters and costs. They have no bounds: every backend gives the bits of the
 * definition, because what rounding does to a solution depends on the matrix.
 */
import { cholesky, solve_cholesky } from '../cholesky.ts'
import { defineOp, input, output, size, sizes, type PlainOp } from '../op.ts'

/** Numbers of a triangle. */
const triangle = (U: number): number => (U * (U + 1)) / 2

/** Op definition. */
export const choleskyOp: PlainOp<typeof cholesky> = defineOp({
  name: 'cholesky',
  formula: 'a = factorᵀ factor',
  params: [output('factor', 'U U', { mayAlias: 'a' }), input('a', 'U U'), size('U')],
  reference: cholesky,
  flops: ({ U }) => (U * (U + 1) * (U + 2)) / 3,
  bytes: ({ U }) => 4 * (U * U + triangle(U)),
})

/** Op definition. */
export const solveCholeskyOp: PlainOp<typeof solve_cholesky> = defineOp({
  name: 'solve_cholesky',
  formula: 'factorᵀ factor x = b',
  params: [output('x', 'U D', { mayAlias: 'b' }), input('b', 'U D'), input('factor', 'U U'), ...sizes('U D')],
  reference: solve_cholesky,
  flops: ({ U, D }) => 2 * U * U * D,
  bytes: ({ U, D }) => 4 * (2 * U * D + triangle(U)),
})
