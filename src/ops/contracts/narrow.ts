/**
 * The contract of narrow: parameters, cost, gradients and bounds.
 */
import { type Op, type Numbers, defineStoredOp, stored, output, input, size } from '../op.ts'
import { narrow_bf16, narrow_f16 } from '../narrow.ts'

/** Op definition. */
export const narrowOp: Op<
  [y: Numbers, x: Float32Array],
  { bf16: typeof narrow_bf16; f16: typeof narrow_f16 }
> = defineStoredOp('narrow', [stored(output('y', 'N')), input('x', 'N'), size('N')], {
  bf16: { formula: 'y = the bf16 nearest to x', reference: narrow_bf16, flops: () => 0 },
  f16: { formula: 'y = the f16 nearest to x', reference: narrow_f16, flops: () => 0 },
})
