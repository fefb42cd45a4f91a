/**
 * mask_units: the `simulate` mode of a mask, y = x * mask of the unit.
 *
 * A unit is a head (K numbers per token) or a neuron (K = 1). Its mask may be any number, so that the derivative with
 * respect to a mask can be taken: plainact is that derivative.
 */
/** y[t, u, k] = x[t, u, k] * mask[u]. */
export function mask_units(
  y: Float32Array, // [T, U, K]
  x: Float32Array, // [T, U, K]
  mask: Float32Array, // [U]
  T: number,
  U: number,
  K: number,
): void {
  for (let t = 0; t < T; t++)
    for (let u = 0; u < U; u++)
      for (let k = 0; k < K; k++) {
        const n = (t * U + u) * K + k
        y[n] = x[n] * mask[u]
      }
}
