/**
 * The bound of layer_norm on fast backends, whose sums have any order (relaxed.ts defines bounds and magnitudes).
 *
 * With A the mean of |x|, s = sqrt(variance + epsilon) and n = (x - mean) / s, all exact, and c roundings:
 *   the mean is off by c 2^-24 A, for it is a sum over a count;
 *   s is the length of the vector of all (x - mean) / sqrt(D) and sqrt(epsilon); a mean that is off by a moves that vector,
 *   and so its length, by a at most, and the roundings of its square by a share: s is off by c 2^-24 (A + s);
 *   n is off by what x - mean is, and by its own share of what s is, both over the s that is used:
 *   c 2^-24 (A + |n| (A + s)) / s'.
 *
 * s' is not known, but it is at least sqrt(epsilon), as rounded, and at least s less what it is off by. Where a row is all
 * but constant that is little beside A, and nothing better is true: what is normalised there are roundings. Then n is
 * multiplied with the weight, and the bias added.
 */
import type { layer_norm } from './layer_norm.ts'
import type { Relaxed } from './op.ts'
import { productSize, ROUNDING, sequential, TINY } from './relaxed.ts'

const { abs, max, sqrt } = Math

/** Roundings of a sum over the width, and of all that is made of it. */
function roundings(D: number): number {
  return sequential(D) + 12
}

/** Sums past this may overflow in float32, in one order if not in the other: then nothing is known. */
const MOST = 2 ** 126

/** For each output: |weight| (A + |n| (A + s)) / s' + |bias|. */
const layerNormMagnitude: typeof layer_norm = (y, x, weight, bias, epsilon, T, D) => {
  const c = roundings(D) * ROUNDING
  for (let t = 0; t < T; t++) {
    const row = Float64Array.from(x.subarray(t * D, (t + 1) * D))
    const total = (size: (value: number) => number): number =>
      row.reduce((sum, value) => sum + size(value), 0)
    const mean = total((value) => value) / D
    const size = total(abs) / D + TINY
    const squares = total((value) => (value - mean) ** 2)
    const s = sqrt(squares / D + epsilon)
    const least = max(0.999 * sqrt(epsilon), s - c * (size + s))
    for (let d = 0; d < D; d++) {
      const n = abs(row[d] - mean) / s + TINY
      const normal = productSize(abs(weight[d]), (size + n * (size + s)) / least)
      y[t * D + d] = squares > MOST || size * D > MOST ? Infinity : normal + abs(bias[d])
    }
  }
}

/** layer_norm, its sums in any order. */
export const layerNormFast: Relaxed<Parameters<typeof layer_norm>> = {
  bound: ({ D }) => 2 * roundings(D),
  magnitude: layerNormMagnitude,
}
