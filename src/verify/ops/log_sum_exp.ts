/**
 * log_sum_exp against float64.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, same } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { logSumExp64 } from '../float64.ts'
import { forAll, type BackendLaw } from './law.ts'

/** Few enough terms that 40 epsilon covers what their striped sum rounds (32 additions at most). */
const V = fc.integer({ min: 1, max: 200 })
const seed = fc.nat()
const accuracy = 40 * epsilon32

function logSumExp(backend: Backend, x: Float32Array): number {
  return call(backend, 'log_sum_exp', { x, T: 1, V: x.length }).y[0]
}

/** Logits that differ by up to 80. */
function logits(seed: number, V: number): Float32Array {
  return new Data(seed).floats(V, 'smooth').map((x) => x * 23)
}

export const isExact: BackendLaw = forAll(
  'log_sum_exp: each number is that of float64; of one number it is that number, bit for bit',
  [V, seed],
  (backend, V, seed) => {
    const x = logits(seed, V)
    near('y', [logSumExp(backend, x)], [logSumExp64(x)], accuracy * 5)
    same('one', logSumExp(backend, x.subarray(0, 1)), x[0])
  },
)
