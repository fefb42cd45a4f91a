/**
 * Bugs planted in the operations of src/ops/cholesky.ts.
 */
import * as laws from '../../src/verify/ops/cholesky.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'cholesky',
    'leaves what stands below the diagonal',
    [...agree('cholesky'), laws.multipliesToMatrix],
    (cholesky) => (factor, a, N) => {
      const whole = a.slice()
      cholesky(factor, whole, N)
      for (let i = 1; i < N; i++) factor[i * N] = whole[i * N] === 0 ? 1 : whole[i * N]
    },
  ),

  mutant(
    'cholesky',
    'does not divide by the pivot',
    [...agree('cholesky'), laws.multipliesToMatrix],
    (cholesky) => (factor, a, N) => {
      cholesky(factor, a, N)
      for (let k = 0; k < N; k++) for (let j = k + 1; j < N; j++) factor[k * N + j] *= factor[k * N + k] || 2
    },
  ),

  mutant(
    'cholesky',
    'takes a pivot of 1 where there is none',
    [laws.deadHaveNoPart],
    (cholesky) => (factor, a, N) => {
      cholesky(factor, a, N)
      for (let k = 0; k < N; k++) if (factor[k * N + k] === 0) factor[k * N + k] = 1
    },
  ),

  mutant(
    'solve_cholesky',
    'stops after the first triangle',
    [...agree('solve_cholesky'), laws.solves],
    () => (x, b, factor, N, M) => {
      for (let k = 0; k < N; k++)
        for (let m = 0; m < M; m++) {
          let sum = b[k * M + m]
          for (let i = 0; i < k; i++) sum -= factor[i * N + k] * x[i * M + m]
          x[k * M + m] = sum / factor[k * N + k]
        }
    },
  ),

  mutant(
    'solve_cholesky',
    'turns the sign',
    [...agree('solve_cholesky'), laws.solves],
    (solve) => (x, b, factor, N, M) => {
      solve(x, b, factor, N, M)
      x.forEach((value, n) => (x[n] = -value))
    },
  ),
]
