/**
 * min_max: the input scaling of the predictor in ShadowLLM's released code.
 *
 *   y = (x - min) / (max - min) per row, and 0 for a constant row
 */

const { fround } = Math

/** Scales each row to [0, 1]; a constant row becomes 0. */
export function min_max(
  y: Float32Array, // [T, D]
  x: Float32Array, // [T, D]
  T: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) {
    let least = Infinity
    let most = -Infinity
    for (let n = t * D; n < (t + 1) * D; n++) {
      if (x[n] < least) least = x[n]
      if (x[n] > most) most = x[n]
    }
    const range = fround(most - least)
    for (let n = t * D; n < (t + 1) * D; n++) y[n] = range > 0 ? fround(x[n] - least) / range : 0
  }
}
