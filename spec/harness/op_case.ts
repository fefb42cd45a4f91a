/**
 * Cases of any op for laws: those of the parity path, which tries foreign backends on them.
 */
export { arraysOf, fitSizes, lettersOf, makeValues, variantsOf } from '../../src/testing/op_case.ts'
