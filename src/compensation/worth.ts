/**
 * obs: what cannot be recovered of units, once all others make up for them (Hassibi and Stork 1993, "Second order derivatives for
 * network pruning: Optimal Brain Surgeon", with the output of one layer as the loss).
 *
 * Units leave one after the other. What is lost with the next one, while all that are left make up for it, is
 *
 *   neuron:  |w|² / P_jj
 *   head:    trace of Wᵀ (P_hh)⁻¹ W        its K rows and columns of P, its K rows of W
 *
 * and the one of which least is lost leaves. P is the inverse of C, and w, or W, is what the unit is multiplied by: its rows of the matrix
 * that adds units up. Then the others take over what they say of it, and P is the inverse of their own moments:
 *
 *   W <- W - P_:u (P_uu)⁻¹ W_u             P <- P - P_:u (P_uu)⁻¹ P_u:
 *
 * The worth of a unit is what is lost of the layer's output when it and all that are worth less are skipped: the sum up to its own leaving.
 * C has λ mean(diag C) on its diagonal. In float64.
 */
import { cholesky, solveCholesky } from '../criteria/cholesky.ts'

/**
 * The worth of each unit: [units], rounded to float32.
 * @param moments C: [N, N], symmetric
 * @param row of the matrix [N, D]; the next one may overwrite the last
 * @param size K, numbers of a unit
 * @param ridge λ, above 0
 * @throws UsageError MATRIX if λ is too small for rounded moments
 */
export function worthsOf(
  moments: Float64Array,
  row: (n: number) => Float32Array,
  size: number,
  ridge: number,
): Float32Array {
  const N = Math.sqrt(moments.length)
  const worths = new Float32Array(N / size)
  const system = moments.slice()
  let diagonal = 0
  for (let n = 0; n < N; n++) diagonal += moments[n * N + n] / N
  // Units of a layer that was never active are worth nothing.
  if (diagonal === 0) return worths
  for (let n = 0; n < N; n++) system[n * N + n] += ridge * diagonal
  const left = new Left(inverse(system, N), N, row, size)
  let lost = 0
  for (const _ of worths) {
    const { unit, loss } = left.least()
    lost += loss
    worths[left.units[unit]] = lost
    left.leave(unit)
  }
  return worths
}

/** The units that are left: the lower triangle of P, and W, of these alone and without gaps. */
class Left {
  /** By their places among all, ascending. */
  readonly units: number[]
  readonly #P: Float64Array
  readonly #W: Float64Array
  readonly #size: number
  readonly #width: number

  constructor(P: Float64Array, N: number, row: (n: number) => Float32Array, size: number) {
    this.#width = row(0).length
    this.#P = P
    this.#W = new Float64Array(N * this.#width)
    for (let n = 0; n < N; n++) this.#W.set(row(n), n * this.#width)
    this.#size = size
    this.units = Array.from({ length: N / size }, (_, unit) => unit)
  }

  /** The place of the unit of which least is lost, the first of equal ones. */
  least(): { readonly unit: number; readonly loss: number } {
    const losses = this.units.map((_, unit) => this.#lossOf(unit))
    const loss = Math.min(...losses)
    return { unit: losses.indexOf(loss), loss }
  }

  /** With P_uu = G Gᵀ it is the sum of the squares of G⁻¹ W_u. */
  #lossOf(unit: number): number {
    const [K, D, n] = [this.#size, this.#width, this.units.length * this.#size]
    const at = unit * K
    // Arrays for each of a layer's neurons, after each that leaves, would take longer than the sums.
    if (K === 1) return squares(this.#W, at * D, D) / this.#P[at * n + at]
    const factor = cholesky(this.#block(unit), K)
    const rows = this.#W.slice(at * D, (at + K) * D)
    for (let i = 0; i < K; i++)
      for (let d = 0; d < D; d++) {
        let value = rows[i * D + d]
        for (let k = 0; k < i; k++) value -= factor[i * K + k] * rows[k * D + d]
        rows[i * D + d] = value / factor[i * K + i]
      }
    return squares(rows, 0, K * D)
  }

  /** The others take over what they say of a unit. */
  leave(unit: number): void {
    const [K, D, n] = [this.#size, this.#width, this.units.length * this.#size]
    const [P, W] = [this.#P, this.#W]
    const first = unit * K
    const own = new Float64Array(K * n)
    for (let k = 0; k < K; k++)
      for (let j = 0; j < n; j++) own[k * n + j] = P[Math.max(first + k, j) * n + Math.min(first + k, j)]
    const weight = W.slice(first * D, (first + K) * D)
    const said = solveCholesky(cholesky(this.#block(unit), K), own, K)
    this.units.splice(unit, 1)
    // What is moved goes where nothing is read any more.
    let to = 0
    for (let i = 0; i < n; i++) {
      if (i >= first && i < first + K) continue
      for (let k = 0; k < K; k++) {
        const factor = said[k * n + i]
        for (let d = 0; d < D; d++) W[i * D + d] -= factor * weight[k * D + d]
        for (let j = 0; j <= i; j++) P[i * n + j] -= factor * own[k * n + j]
      }
      W.copyWithin(to * D, i * D, (i + 1) * D)
      const begin = to++ * (n - K)
      P.copyWithin(begin, i * n, i * n + Math.min(first, i + 1))
      if (i > first) P.copyWithin(begin + first, i * n + first + K, i * n + i + 1)
    }
  }

  /** P_uu: [K, K]; the lower triangle counts. */
  #block(unit: number): Float64Array {
    const [K, n] = [this.#size, this.units.length * this.#size]
    const at = (i: number): number => (unit * K + Math.floor(i / K)) * n + unit * K + (i % K)
    return Float64Array.from({ length: K * K }, (_, i) => this.#P[at(i)])
  }
}

/** The sum of so many squares from a place on, in four sums that do not wait for one another. */
function squares(values: Float64Array, from: number, length: number): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  const to = from + length
  let i = from
  for (; i + 3 < to; i += 4) {
    a += values[i] * values[i]
    b += values[i + 1] * values[i + 1]
    c += values[i + 2] * values[i + 2]
    d += values[i + 3] * values[i + 3]
  }
  for (; i < to; i++) a += values[i] * values[i]
  return a + b + (c + d)
}

/** The lower triangle of the inverse of a positive definite matrix: [N, N]. */
function inverse(matrix: Float64Array, N: number): Float64Array {
  const columns = inverseColumns(cholesky(matrix, N), N)
  const all = new Float64Array(N * N)
  for (let i = 0; i < N; i++)
    for (let j = 0; j <= i; j++) {
      // An inner product of columns of the inverse of the factor, which begin at their own row.
      let sum = 0
      for (let k = i; k < N; k++) sum += columns[i * N + k] * columns[j * N + k]
      all[i * N + j] = sum
    }
  return all
}

/** The columns of the inverse of a lower triangle, side by side: column j at [j, j..]. */
function inverseColumns(factor: Float64Array, N: number): Float64Array {
  const columns = new Float64Array(N * N)
  for (let j = 0; j < N; j++)
    for (let i = j; i < N; i++) {
      let rest = i === j ? 1 : 0
      for (let k = j; k < i; k++) rest -= factor[i * N + k] * columns[j * N + k]
      columns[j * N + i] = rest / factor[i * N + i]
    }
  return columns
}
