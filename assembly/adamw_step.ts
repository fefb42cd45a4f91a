/**
 * adamw_step: one AdamW step on N weights, in place. Formula: src/ops/adamw_step.ts.
 */
import { bytes, wholeQuads } from './float32'

export function adamw_step(
  weight: usize, // [N]
  mean: usize, // [N]
  square: usize, // [N]
  grad: usize, // [N]
  rate: f32,
  beta1: f32,
  beta2: f32,
  epsilon: f32,
  decay: f32,
  correction1: f32,
  correction2: f32,
  N: i32,
): void {
  const keep: f32 = 1 - rate * decay
  const fresh1: f32 = 1 - beta1
  const fresh2: f32 = 1 - beta2
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) {
    const g = v128.load(grad + n)
    const m = f32x4.add(f32x4.mul(f32x4.splat(beta1), v128.load(mean + n)), f32x4.mul(f32x4.splat(fresh1), g))
    const v = f32x4.add(
      f32x4.mul(f32x4.splat(beta2), v128.load(square + n)),
      f32x4.mul(f32x4.splat(fresh2), f32x4.mul(g, g)),
    )
    v128.store(mean + n, m)
    v128.store(square + n, v)
    const spread = f32x4.add(f32x4.sqrt(f32x4.div(v, f32x4.splat(correction2))), f32x4.splat(epsilon))
    const rise = f32x4.mul(f32x4.splat(rate), f32x4.div(m, f32x4.splat(correction1)))
    const kept = f32x4.mul(v128.load(weight + n), f32x4.splat(keep))
    v128.store(weight + n, f32x4.sub(kept, f32x4.div(rise, spread)))
  }
  for (; n < end; n += 4) {
    const g = load<f32>(grad + n)
    const m = beta1 * load<f32>(mean + n) + fresh1 * g
    const v = beta2 * load<f32>(square + n) + fresh2 * (g * g)
    store<f32>(mean + n, m)
    store<f32>(square + n, v)
    const spread = sqrt<f32>(v / correction2) + epsilon
    const step = (rate * (m / correction1)) / spread
    store<f32>(weight + n, load<f32>(weight + n) * keep - step)
  }
}
