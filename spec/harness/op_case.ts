/**
 * Cases of any op for laws: those of parity, which tests foreign backends with them.
 */
export { arraysOf, fitSizes, lettersOf, makeValues, variantsOf } from '../../src/testing/op_case.ts'
