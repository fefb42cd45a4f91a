/**
 * The planted bugs of the suite that `parity run` does not find.
 */

/**
 * The laws find them all. They need rare data, int8 values at a rounding boundary, sums of int4 that pass 16 bits, scales
 * that are not finite, more than one tile with room behind its rows, or a token of zeros.
 */
export const unseenBugs: readonly string[] = [
  'linear_i4 adds and subtracts the scales of the other rows of a four',
  'linear_i4 adds the products of a block in 16 bits',
  'linear_i8 counts zeros as terms',
  'linear_input_major starts from -0, which only a term makes +0',
  'linear_input_major_i4 adds the products of a block in 16 bits',
  'linear_input_major_i4 has no room behind its rows',
  'linear_input_major_i8 counts zeros as terms',
  'log takes a negative number for 0',
  'narrow_f16 knows no subnormal numbers',
  'top_k ranks NaN first',
]
