/**
 * exp: y = e^x. log: y = ln x. The polynomials of float32.ts, element by element.
 */
import { bytes, exponentials, log1 } from './float32'

export function exp(
  y: usize, // [N], may be x
  x: usize, // [N]
  N: i32,
): void {
  exponentials(y, x, 0, N)
}

export function log(
  y: usize, // [N], may be x
  x: usize, // [N]
  N: i32,
): void {
  const end = bytes(N)
  for (let n: usize = 0; n < end; n += 4) store<f32>(y + n, log1(load<f32>(x + n)))
}
