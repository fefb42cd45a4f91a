/**
 * Integer products of int16 numbers in pairs: what `i32x4.dot_i16x8_s` multiplies and adds. Sums in 32 bits are exact, so
 * they have no order.
 */

/** sums + q * weights, each pair of products added up. */
export function multiplyPairs(sums: v128, q: v128, weights: v128): v128 {
  return i32x4.add(sums, i32x4.dot_i16x8_s(q, weights))
}

/** The first four numbers of two rows of eight, in pairs. */
export function lowerPairs(row0: v128, row1: v128): v128 {
  return v128.shuffle<i16>(row0, row1, 0, 8, 1, 9, 2, 10, 3, 11)
}

/** The last four numbers of two rows of eight, in pairs. */
export function upperPairs(row0: v128, row1: v128): v128 {
  return v128.shuffle<i16>(row0, row1, 4, 12, 5, 13, 6, 14, 7, 15)
}
