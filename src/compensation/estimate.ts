/**
 * What kept units say of every unit, as least squares of a calibration has it: what takes the place of a unit as a soft mask takes it
 * away.
 *
 *   P    = (C_KK + λ mean(diag C) I)⁻¹           K: kept units
 *   â_s  = C_SK P a_K                            of a skipped unit, as fold.ts has it
 *   â_k  = a_k - (P_kk)⁻¹ (P a_K)_k              of a kept one: least squares from the other kept ones
 *
 * The second holds of blocks too, so that the numbers of a head are estimated from other heads alone: the factor of another kept unit j
 * is -P_kk⁻¹ P_kj. The system is solved in float32 by operations of the catalogue, blocks in float64.
 */
import { BufferScope } from '../backends/buffer_scope.ts'
import { cholesky, solveCholesky } from '../criteria/cholesky.ts'
import { rowsOfUnits } from '../engine/unit_lists.ts'
import { DEFAULT_RIDGE, type Estimate, type SoftUnits } from '../masks/compensation.ts'
import type { HeldMoments } from './held_moments.ts'

/** Estimates by these moments, with the usual λ. They throw UsageError MATRIX where these cannot be solved by. */
export function estimateBy(moments: HeldMoments): Estimate {
  return (soft) => {
    const { kind, layer, size, mask } = soft
    const units = Int32Array.from(mask.keys()).filter((unit) => mask[unit] >= 0.5)
    const w = moments.weights(kind, layer, null)
    const squares = moments.mixed(kind, layer, 'squares', w)
    const penalty = DEFAULT_RIDGE * squares.reduce((sum, value) => sum + value / squares.length, 0)
    if (units.length === 0 || penalty === 0 || mask.every((value) => value === 1)) return null
    const kept = rowsOfUnits(units, size)
    const solved = solve(moments, soft, kept, w, penalty)
    const [K, N] = [kept.length, squares.length]
    const estimate = new Float32Array(N * N)
    for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) estimate[n * N + kept[k]] = solved[k * N + n]
    for (let first = 0; first < K; first += size) estimateKept(estimate, kept, first, size)
    return estimate
  }
}

/** P C_KS in the columns of skipped units, and P in those of kept ones: [K, N]. */
function solve(
  moments: HeldMoments,
  { backend, kind, layer }: SoftUnits,
  kept: Int32Array,
  w: Float64Array,
  penalty: number,
): Float32Array {
  return BufferScope.within(backend, (scope) => {
    const K = kept.length
    const system = scope.allocate('f32', [K, K], 'anything')
    moments.triangle(kind, layer, kept, w, 1, penalty, (rows, start) => backend.write(system, rows, start))
    const right = moments.rows(kind, layer, kept, w, 1)
    const N = right.length / K
    for (let k = 0; k < K; k++) for (let j = 0; j < K; j++) right[k * N + kept[j]] = k === j ? 1 : 0
    const x = scope.upload(right, [K, N])
    backend.ops.cholesky(system, system)
    backend.ops.solve_cholesky(x, x, system)
    return backend.readF32(x)
  })
}

/** Puts factors of the other kept units in the place of rows of P. @param first the place of a unit's first number among those kept */
function estimateKept(rows: Float32Array, kept: Int32Array, first: number, size: number): void {
  const [K, N] = [kept.length, Math.sqrt(rows.length)]
  const own = kept.subarray(first, first + size)
  const P = Float64Array.from(
    { length: size * K },
    (_, at) => rows[own[Math.floor(at / K)] * N + kept[at % K]],
  )
  const block = Float64Array.from(
    { length: size * size },
    (_, at) => P[Math.floor(at / size) * K + first + (at % size)],
  )
  const factors = solveCholesky(cholesky(block, size), P, size)
  for (const [i, n] of own.entries())
    for (let k = 0; k < K; k++) {
      const isOwn = k >= first && k < first + size
      rows[n * N + kept[k]] = isOwn ? 0 : -factors[i * K + k]
    }
}
