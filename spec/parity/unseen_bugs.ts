/**
 * The planted bugs of the suite that `parity run` does not find.
 */

/** The laws find them all. They need rare data, or int8 values at a rounding boundary. */
export const unseenBugs: readonly string[] = [
  'linear_i8 counts zeros as terms',
  'linear_input_major_i8 counts zeros as terms',
  'log takes a negative number for 0',
  'narrow_f16 knows no subnormal numbers',
  'top_k ranks NaN first',
]
