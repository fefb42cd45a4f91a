/**
 * add: the residual connection, y = a + b. Both terms receive y_grad unchanged.
 */
import { defineOp, input, output, size, type PlainOp } from './op.ts'

/** y = a + b. */
export function add(y: Float32Array, a: Float32Array, b: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = a[n] + b[n]
}

/** Op definition. Its gradient is the identity for both terms. */
export const addOp: PlainOp<typeof add> = defineOp({
  name: 'add',
  formula: 'y = a + b',
  params: [output('y', 'N', { mayAlias: 'a' }), input('a', 'N'), input('b', 'N'), size('N')],
  reference: add,
  flops: ({ N }) => N,
})
