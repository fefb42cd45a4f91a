/**
 * narrow: float32 rounded to half precision, to the nearest, a tie to the even one. It is how weights come to be stored so;
 * src/tensor/dtypes.ts says what each pattern is.
 */
import { narrowToBf16, narrowToF16 } from '../tensor/halves.ts'

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
