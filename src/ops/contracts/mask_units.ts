/**
 * The contract of mask_units: parameters, cost, gradients and bounds.
 */
import { defineOp, input, output, sizes, type PlainOp } from '../op.ts'
import { mask_units } from '../mask_units.ts'

/** Op definition. Its gradient with respect to x is itself, on y_grad. */
export const maskUnitsOp: PlainOp<typeof mask_units> = defineOp({
  name: 'mask_units',
  formula: 'y[t,u,k] = x[t,u,k] mask[u]',
  params: [
    output('y', 'T U*K', { mayAlias: 'x' }),
    input('x', 'T U*K'),
    input('mask', 'U'),
    ...sizes('T U K'),
  ],
  reference: mask_units,
  flops: ({ T, U, K }) => T * U * K,
  gradients: [{ of: ['x'], op: 'mask_units', bind: { y: 'x_grad', x: 'y_grad' } }],
})
