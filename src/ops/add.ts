/**
 * add: the residual connection, y = a + b. Both terms receive y_grad unchanged.
 */
/** y = a + b. */
export function add(y: Float32Array, a: Float32Array, b: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = a[n] + b[n]
}
