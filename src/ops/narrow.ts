/**
 * narrow_bf16, narrow_f16: float32 rounded to half precision, to the nearest, a tie to the even one. It is how weights
 * come to be stored so; src/tensor/dtypes.ts says what each pattern is.
 */
import { narrowToBf16, narrowToF16 } from '../tensor/dtypes.ts'
import { defineOp, input, output, size, type Op } from './op.ts'

/** y = x as bf16 patterns. */
export function narrow_bf16(
  y: Uint16Array, // [N]
  x: Float32Array, // [N]
  N: number,
): void {
  narrowToBf16(x.subarray(0, N), y)
}

/** y = x as f16 patterns; past 65,520 an infinity. */
export function narrow_f16(
  y: Uint16Array, // [N]
  x: Float32Array, // [N]
  N: number,
): void {
  narrowToF16(x.subarray(0, N), y)
}

/** Catalogue row. */
export const narrowBf16Op: Op<Parameters<typeof narrow_bf16>> = defineOp({
  name: 'narrow_bf16',
  formula: 'y = the bf16 nearest to x',
  params: [output('y', 'N', { dtype: 'bf16' }), input('x', 'N'), size('N')],
  reference: narrow_bf16,
  flops: () => 0,
})

/** Catalogue row. */
export const narrowF16Op: Op<Parameters<typeof narrow_f16>> = defineOp({
  name: 'narrow_f16',
  formula: 'y = the f16 nearest to x',
  params: [output('y', 'N', { dtype: 'f16' }), input('x', 'N'), size('N')],
  reference: narrow_f16,
  flops: () => 0,
})
