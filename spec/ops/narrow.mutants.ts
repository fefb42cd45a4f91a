/**
 * Bugs planted in the operations of src/ops/narrow.ts.
 */
import * as storedLaws from '../../src/verify/ops/stored_weights.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** Patterns of bf16 without their last bit. */
export const truncateBf16 = (w: Uint16Array): Uint16Array => w.map((pattern) => pattern & 0xfffe)

/** Patterns of f16 with zeros for subnormal numbers. */
export const flushF16 = (w: Uint16Array): Uint16Array =>
  w.map((pattern) => (pattern & 0x7c00 ? pattern : pattern & 0x8000))

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant('narrow_bf16', 'cuts off', [...agree('narrow_bf16'), storedLaws.narrowsToBf16], () => (y, x, N) => {
    const bits = new Uint32Array(x.buffer, x.byteOffset, N)
    for (let n = 0; n < N; n++) y[n] = bits[n] >>> 16
  }),

  mutant('narrow_f16', 'knows no subnormal numbers', [storedLaws.narrowsToF16], (narrow) => (y, x, N) => {
    narrow(y, x, N)
    y.set(flushF16(y))
  }),
]
