/**
 * One checked call of one op for laws: that of parity, so that every backend has the same checks.
 */
export { aligned, call, callRaw, poison } from '../../src/testing/op_call.ts'
