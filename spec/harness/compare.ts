/**
 * Comparison of numbers, as in the laws of src/verify.
 */
export { near, sameBits, sameNumbers } from '../../src/verify/compare.ts'
