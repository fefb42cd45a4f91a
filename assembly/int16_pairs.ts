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

/** The first eight bytes of two rows of sixteen, in pairs. */
export function lowerBytes(row0: v128, row1: v128): v128 {
  return v128.shuffle<i8>(row0, row1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
}

/** The last eight bytes of two rows of sixteen, in pairs. */
export function upperBytes(row0: v128, row1: v128): v128 {
  return v128.shuffle<i8>(row0, row1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
}
