/**
 * Math.fround, watched: whether any number of a computation was subnormal. To be imported before the definitions, which keep the
 * function.
 */
export const rounding = { sawSubnormal: false }

const { fround } = Math

/** Whether a number of float32 is nearer to 0 than 2^-126, and is not 0. */
export function isSubnormal(x: number): boolean {
  return x !== 0 && Math.abs(x) < 2 ** -126
}

Math.fround = (x) => {
  const rounded = fround(x)
  if (isSubnormal(rounded)) rounding.sawSubnormal = true
  return rounded
}
