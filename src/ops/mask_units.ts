/**
 * mask_units: the `simulate` mode of a mask, y = x * mask of the unit.
 *
 * A unit is a head (K numbers per token) or a neuron (K = 1). Its mask may be any number, so that the derivative with
 * respect to a mask can be taken: plainact is that derivative.
 */
import { defineOp, input, output, size, type PlainOp } from './op.ts'

/** y[t, u, k] = x[t, u, k] * mask[u]. */
export function mask_units(
  y: Float32Array, // [T, U, K]
  x: Float32Array, // [T, U, K]
  mask: Float32Array, // [U]
  T: number,
  U: number,
  K: number,
): void {
  for (let t = 0; t < T; t++)
    for (let u = 0; u < U; u++)
      for (let k = 0; k < K; k++) {
        const n = (t * U + u) * K + k
        y[n] = x[n] * mask[u]
      }
}

/** Op definition. Its gradient with respect to x is itself, on y_grad. */
export const maskUnitsOp: PlainOp<typeof mask_units> = defineOp({
  name: 'mask_units',
  formula: 'y[t,u,k] = x[t,u,k] mask[u]',
  params: [
    output('y', 'T U*K', { mayAlias: 'x' }),
    input('x', 'T U*K'),
    input('mask', 'U'),
    size('T'),
    size('U'),
    size('K'),
  ],
  reference: mask_units,
  flops: ({ T, U, K }) => T * U * K,
  gradients: [
    { of: ['x'], op: 'mask_units', bind: { y: 'x_grad', x: 'y_grad', mask: 'mask', T: 'T', U: 'U', K: 'K' } },
  ],
})
