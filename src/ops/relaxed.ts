/**
 * Bounds for backends that do not owe the bits of the definition. A relaxed backend adds as the definition does, in the same
 * order, but a product that is added to a sum may stay unrounded there. A fast backend may also add in any order, if it is the
 * same order each time:
 *
 *   |actual - expected| <= bound(sizes) * 2^-24 * (magnitude + 2^-102)
 *
 * A kernel without a bound owes the bits of the definition.
 *
 * Bounds are counts of roundings. A number that was rounded d times on its way into a sum is within d * 2^-24 of itself,
 * to first order (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), so a sum of terms is within that
 * of the sum of their sizes, which is its magnitude; definition and backend are both, so they are within twice that of each
 * other. A sum of n terms has n - 1 additions whatever its order, and a term goes through each of them once at most: no
 * order rounds it more often than the sequential one, and so `sequential` counts for any. The last term covers subnormal numbers, which are rounded by as much however small they are. An infinite
 * magnitude promises nothing: a product that overflows when it is rounded may be finite unrounded. Where the magnitude is
 * NaN, as of a term that is, both are NaN or neither.
 */
import type { Relaxed, Sizes } from './op.ts'

/** Relative error of one rounding. */
export const ROUNDING: number = 2 ** -24

/** The least size that a number counts as when it is rounded. */
export const TINY: number = 2 ** -102

/**
 * The size of a product of sizes, as it is rounded on its way: of what is past float32 nothing is known, even times 0, and
 * below TINY the error no longer shrinks.
 */
export function productSize(a: number, b: number): number {
  return a === Infinity || b === Infinity ? Infinity : Math.fround(a * b) + TINY
}

/**
 * Roundings of a term of a striped sum of `length` products, at most: its own, those of its lane and of the tree, which
 * has 4 levels and adds zeros where no stripe is whole, and of the tail.
 */
export function striped(length: number): number {
  const stripes = Math.floor(length / 16)
  return 1 + (stripes > 0 ? stripes + 4 : 0) + (length % 16)
}

/** Roundings of a term of a sequential sum of `length` products, or at most of one in any order. */
export function sequential(length: number): number {
  return 1 + length
}

/** Sums of multiply-adds: each term is rounded so often, and the magnitude comes from the sizes of these arrays. */
export function chain<Args extends readonly unknown[]>(
  roundings: (sizes: Sizes) => number,
  arrays: string,
): Relaxed<Args> {
  return { bound: (sizes) => 2 * roundings(sizes), magnitude: arrays.split(' ') }
}
