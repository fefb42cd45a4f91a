/**
 * How numbers are compared: as the laws of src/verify do it.
 */
export { epsilon32, near, sameBits, sameNumbers } from '../../src/verify/compare.ts'
