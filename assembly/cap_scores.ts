/**
 * Capped scores of attention, cap tanh(score / cap), and what they gain with the score. tanh: src/ops/float32.ts, the same bits.
 */
import { bytes, wholeQuads } from './float32'
import { power, writeConstants } from './softmax_row'

/** scores[s] = cap tanh(scores[s] / cap), s < count; a cap of 0 or less is none. */
export function capScores(scores: usize, cap: f32, count: i32): void {
  if (!(cap > 0)) return
  const constants = writeConstants()
  const caps = f32x4.splat(cap)
  const end = scores + bytes(count)
  for (const whole = scores + wholeQuads(count); scores < whole; scores += 16)
    v128.store(scores, f32x4.mul(caps, tanhOfRatio(v128.load(scores), caps, constants)))
  for (; scores < end; scores += 4)
    v128.store32_lane(scores, f32x4.mul(caps, tanhOfRatio(v128.load32_zero(scores), caps, constants)), 0)
}

/** slopes[s] = 1 - tanh(scores[s] / cap)^2, s < count, cap > 0. */
export function capSlopes(slopes: usize, scores: usize, cap: f32, count: i32): void {
  const constants = writeConstants()
  const caps = f32x4.splat(cap)
  for (const end = scores + bytes(count); scores < end; scores += 4) {
    const u = tanhOfRatio(v128.load32_zero(scores), caps, constants)
    v128.store32_lane(slopes, f32x4.sub(f32x4.splat(1), f32x4.mul(u, u)), 0)
    slopes += 4
  }
}

/** tanh(score / cap) of four lanes. @param constants what `writeConstants` wrote */
function tanhOfRatio(scores: v128, caps: v128, constants: usize): v128 {
  const x = f32x4.div(scores, caps)
  const size = f32x4.abs(x)
  const s = f32x4.mul(x, x)
  let p = f32x4.add(f32x4.mul(f32x4.splat(-5.70498872745e-3), s), f32x4.splat(2.06390887954e-2))
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-5.37397155531e-2))
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(1.33314422036e-1))
  p = f32x4.add(f32x4.mul(p, s), f32x4.splat(-3.33332819422e-1))
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, s), x), x)
  const e = power(f32x4.mul(f32x4.splat(-2), size), constants)
  const far = f32x4.div(f32x4.sub(f32x4.splat(1), e), f32x4.add(f32x4.splat(1), e))
  const signed = v128.or(far, v128.and(x, i32x4.splat(i32.MIN_VALUE)))
  return v128.bitselect(near, signed, f32x4.lt(size, f32x4.splat(0.625)))
}
