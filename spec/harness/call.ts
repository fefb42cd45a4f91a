/**
 * One watched call of one op for laws: that of the parity path, so that every backend gets the same care.
 */
export {
  aligned,
  call,
  callRaw,
  poison,
  sizesOf,
  type Placing,
  type Value,
  type Values,
} from '../../src/testing/op_call.ts'
