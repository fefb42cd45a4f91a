/**
 * The eigenvalues of a small symmetric matrix by Jacobi's method: rotations that make one off-diagonal pair zero at a
 * time, until all are.
 */

/** Eigenvalues in no order. @param matrix symmetric rows */
export function eigenvalues(matrix: readonly (readonly number[])[]): number[] {
  const a = matrix.map((row) => [...row])
  const N = a.length
  for (let sweep = 0; sweep < 60; sweep++)
    for (let p = 0; p < N; p++)
      for (let q = p + 1; q < N; q++) {
        if (a[p][q] === 0) continue
        const angle = (a[q][q] - a[p][p]) / (2 * a[p][q])
        const t = (angle < 0 ? -1 : 1) / (Math.abs(angle) + Math.hypot(angle, 1))
        const cos = 1 / Math.hypot(t, 1)
        const sin = t * cos
        for (let k = 0; k < N; k++) {
          const [kp, kq] = [a[k][p], a[k][q]]
          a[k][p] = cos * kp - sin * kq
          a[k][q] = sin * kp + cos * kq
        }
        for (let k = 0; k < N; k++) {
          const [pk, qk] = [a[p][k], a[q][k]]
          a[p][k] = cos * pk - sin * qk
          a[q][k] = sin * pk + cos * qk
        }
      }
  return a.map((row, i) => Math.max(0, row[i]))
}
