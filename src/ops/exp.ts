/**
 * exp and log of every element, by the polynomials of float32.ts: equal bits on every engine and backend.
 */
import { defineOp, input, output, size, type PlainOp } from './op.ts'
import { exp as exp32, log as log32 } from './float32.ts'

/** y = e^x, by the polynomial of float32.ts. */
export function exp(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = exp32(x[n])
}

/** y = ln x, by the polynomial of float32.ts; NaN of what is below 0. */
export function log(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = log32(x[n])
}

/** Op definition. */
export const expOp: PlainOp<typeof exp> = defineOp({
  name: 'exp',
  formula: 'y = e^x',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), size('N')],
  reference: exp,
  flops: ({ N }) => 20 * N,
})

/** Op definition. */
export const logOp: PlainOp<typeof log> = defineOp({
  name: 'log',
  formula: 'y = ln x',
  params: [output('y', 'N', { mayAlias: 'x' }), input('x', 'N'), size('N')],
  reference: log,
  flops: ({ N }) => 25 * N,
})
