/**
 * exp and log of every element, by the polynomials of float32.ts: equal bits on every engine and backend.
 */
import { exp as exp32, log as log32 } from './float32.ts'

/** y = e^x, by the polynomial of float32.ts. */
export function exp(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = exp32(x[n])
}

/** y = ln x, by the polynomial of float32.ts; NaN of what is below 0. */
export function log(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = log32(x[n])
}
