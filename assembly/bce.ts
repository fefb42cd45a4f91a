/**
 * bce: loss = sum(weight (max(z, 0) - z y + log(1 + e^-|z|))) / N, striped;   weight = y (1 - w) + w.
 * bce_backward: logits_grad = loss_grad / N * weight (sigmoid(z) - y).
 */
import { bytes, combine, exp1, exp4, log1, STRIPE, wholeQuads, wholeStripes } from './float32'

/** ln x of four lanes. */
function log4(x: v128): v128 {
  let y = f32x4.splat(log1(f32x4.extract_lane(x, 0)))
  y = f32x4.replace_lane(y, 1, log1(f32x4.extract_lane(x, 1)))
  y = f32x4.replace_lane(y, 2, log1(f32x4.extract_lane(x, 2)))
  return f32x4.replace_lane(y, 3, log1(f32x4.extract_lane(x, 3)))
}

function weigh4(y: v128, w: f32): v128 {
  return f32x4.add(f32x4.mul(y, f32x4.splat(<f32>1 - w)), f32x4.splat(w))
}

function weigh1(y: f32, w: f32): f32 {
  return y * (<f32>1 - w) + w
}

/** The weighted costs of four logits. */
function cost4(logits: usize, target: usize, w: f32): v128 {
  const z = v128.load(logits)
  const y = v128.load(target)
  // pmax(0, z) is 0 < z ? z : 0
  const linear = f32x4.sub(f32x4.pmax(f32x4.splat(0), z), f32x4.mul(z, y))
  const small = exp4(f32x4.neg(f32x4.abs(z)))
  return f32x4.mul(weigh4(y, w), f32x4.add(linear, log4(f32x4.add(f32x4.splat(1), small))))
}

/** The weighted cost of one logit. */
function cost1(z: f32, y: f32, w: f32): f32 {
  const linear = (z > 0 ? z : 0) - z * y
  return weigh1(y, w) * (linear + log1(<f32>1 + exp1(-abs<f32>(z))))
}

export function bce(
  loss: usize, // [1]
  logits: usize, // [N]
  target: usize, // [N]
  negative_weight: f32,
  N: i32,
): void {
  const end = logits + bytes(N)
  const whole = logits + wholeStripes(N)
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (logits < whole) {
    acc0 = f32x4.add(acc0, cost4(logits, target, negative_weight))
    acc1 = f32x4.add(acc1, cost4(logits + 16, target + 16, negative_weight))
    acc2 = f32x4.add(acc2, cost4(logits + 32, target + 32, negative_weight))
    acc3 = f32x4.add(acc3, cost4(logits + 48, target + 48, negative_weight))
    logits += STRIPE
    target += STRIPE
  }
  let total = combine(acc0, acc1, acc2, acc3)
  while (logits < end) {
    total += cost1(load<f32>(logits), load<f32>(target), negative_weight)
    logits += 4
    target += 4
  }
  store<f32>(loss, total / <f32>N)
}

export function bce_backward(
  logits_grad: usize, // [N]
  loss_grad: usize, // [1]
  logits: usize, // [N]
  target: usize, // [N]
  negative_weight: f32,
  N: i32,
): void {
  const factor = load<f32>(loss_grad) / <f32>N
  const ones = f32x4.splat(1)
  const end = bytes(N)
  const whole = wholeQuads(N)
  let n: usize = 0
  for (; n < whole; n += 16) {
    const z = v128.load(logits + n)
    const y = v128.load(target + n)
    const small = exp4(f32x4.neg(f32x4.abs(z)))
    const above = v128.bitselect(ones, small, f32x4.gt(z, f32x4.splat(0)))
    const error = f32x4.sub(f32x4.div(above, f32x4.add(ones, small)), y)
    v128.store(logits_grad + n, f32x4.mul(f32x4.splat(factor), f32x4.mul(weigh4(y, negative_weight), error)))
  }
  for (; n < end; n += 4) {
    const z = load<f32>(logits + n)
    const y = load<f32>(target + n)
    const small = exp1(-abs<f32>(z))
    const error = (z > 0 ? <f32>1 : small) / (<f32>1 + small) - y
    store<f32>(logits_grad + n, factor * (weigh1(y, negative_weight) * error))
  }
}
