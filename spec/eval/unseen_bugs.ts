/**
 * The planted bugs of the law book that `parity run` does not see.
 */

/** A short form sees less than the laws, which see all of them: rare data, and int8 whose rounding must be met. */
export const unseenBugs: readonly string[] = [
  'linear_i8 counts zeros as terms',
  'linear_input_major_i8 counts zeros as terms',
  'log takes a negative number for 0',
  'narrow_f16 knows no subnormal numbers',
  'top_k ranks NaN first',
]
