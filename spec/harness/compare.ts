/**
 * Comparison of numbers, as in the laws of src/verify.
 */
export { epsilon32, near, sameBits, sameNumbers } from '../../src/verify/compare.ts'
