/**
 * What kept units say of skipped ones, by another way than src/compensation/fold.ts: B itself, by elimination with exchange of
 * rows, in float64.
 */

/** B of a mask. */
export interface Said {
  /** Columns that are not kept, ascending. */
  readonly skipped: readonly number[] // [S]
  /** a_S ~ B a_K. */
  readonly B: readonly (readonly number[])[] // [S, K]
}

/**
 * B = C_SK (C_KK + λ mean(diag C) I)⁻¹.
 * @param moments C: [N, N]
 * @param kept columns, ascending
 */
export function saidOfSkipped(
  moments: ArrayLike<number>,
  N: number,
  kept: readonly number[],
  ridge: number,
): Said {
  const skipped = Array.from({ length: N }, (_, n) => n).filter((n) => !kept.includes(n))
  const diagonal = Array.from({ length: N }, (_, n) => moments[n * N + n])
  const mean = diagonal.reduce((sum, value) => sum + value, 0) / N
  if (mean === 0) return { skipped, B: skipped.map(() => kept.map(() => 0)) }
  const K = kept.length
  // Each row of the system: one of C_KK + λ mean I, and behind it those of C_KS.
  const rows = kept.map((i, k) => [
    ...kept.map((j, m) => moments[i * N + j] + (k === m ? ridge * mean : 0)),
    ...skipped.map((s) => moments[i * N + s]),
  ])
  for (let k = 0; k < K; k++) {
    let best = k
    for (let i = k; i < K; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[best][k])) best = i
    ;[rows[k], rows[best]] = [rows[best], rows[k]]
    rows[k] = rows[k].map((value) => value / rows[k][k])
    for (let i = 0; i < K; i++)
      if (i !== k) {
        const factor = rows[i][k]
        rows[i] = rows[i].map((value, c) => value - factor * rows[k][c])
      }
  }
  return { skipped, B: skipped.map((_, s) => kept.map((__, k) => rows[k][K + s])) }
}
