/**
 * narrow: float32 rounded to half precision, to the nearest, a tie to the even one. It is how weights come to be stored so;
 * src/tensor/dtypes.ts says what each pattern is.
 */
import { narrowToBf16, narrowToF16 } from '../tensor/dtypes.ts'
import { defineStoredOp, input, output, size, stored, type Numbers, type Op } from './op.ts'

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

/** Op definition. */
export const narrowOp: Op<
  [y: Numbers, x: Float32Array],
  { bf16: typeof narrow_bf16; f16: typeof narrow_f16 }
> = defineStoredOp('narrow', [stored(output('y', 'N')), input('x', 'N'), size('N')], {
  bf16: { formula: 'y = the bf16 nearest to x', reference: narrow_bf16, flops: () => 0 },
  f16: { formula: 'y = the f16 nearest to x', reference: narrow_f16, flops: () => 0 },
})
