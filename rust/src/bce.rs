//! bce: loss = sum(weight (max(z, 0) - z y + log(1 + e^-|z|))) / N, striped;   weight = y (1 - w) + w.
//! bce_backward: logits_grad = loss_grad / N * weight (sigmoid(z) - y).
use crate::float32::{exp1, exp4, in_fours, load, log1, store, striped, zeros};
use core::arch::wasm32::*;

/// ln x of four lanes.
#[inline(always)]
fn log4(x: v128) -> v128 {
    f32x4(
        log1(f32x4_extract_lane::<0>(x)),
        log1(f32x4_extract_lane::<1>(x)),
        log1(f32x4_extract_lane::<2>(x)),
        log1(f32x4_extract_lane::<3>(x)),
    )
}

fn weigh4(y: v128, w: f32) -> v128 {
    f32x4_add(f32x4_mul(y, f32x4_splat(1.0 - w)), f32x4_splat(w))
}

fn weigh1(y: f32, w: f32) -> f32 {
    y * (1.0 - w) + w
}

/// The weighted costs of four logits.
#[inline(always)]
fn cost4(z: v128, y: v128, w: f32) -> v128 {
    // pmax(0, z) is 0 < z ? z : 0
    let linear = f32x4_sub(f32x4_pmax(zeros(), z), f32x4_mul(z, y));
    let small = exp4(f32x4_neg(f32x4_abs(z)));
    f32x4_mul(weigh4(y, w), f32x4_add(linear, log4(f32x4_add(f32x4_splat(1.0), small))))
}

/// The weighted cost of one logit.
fn cost1(z: f32, y: f32, w: f32) -> f32 {
    let linear = (if z > 0.0 { z } else { 0.0 }) - z * y;
    weigh1(y, w) * (linear + log1(1.0 + exp1(-z.abs())))
}

#[no_mangle]
pub unsafe extern "C" fn bce(
    loss: *mut f32,     // [1]
    logits: *const f32, // [N]
    target: *const f32, // [N]
    negative_weight: f32,
    N: usize,
) {
    let four = |[z, y]: [v128; 2]| cost4(z, y, negative_weight);
    let one = |[z, y]: [f32; 2]| cost1(z, y, negative_weight);
    *loss = striped([logits, target], N, four, one) / N as f32;
}

#[no_mangle]
pub unsafe extern "C" fn bce_backward(
    logits_grad: *mut f32, // [N]
    loss_grad: *const f32, // [1]
    logits: *const f32,    // [N]
    target: *const f32,    // [N]
    negative_weight: f32,
    N: usize,
) {
    let factor = *loss_grad / N as f32;
    let ones = f32x4_splat(1.0);
    let four = |n: usize| {
        let (z, y) = (load(logits.wrapping_add(n)), load(target.wrapping_add(n)));
        let small = exp4(f32x4_neg(f32x4_abs(z)));
        let above = v128_bitselect(ones, small, f32x4_gt(z, zeros()));
        let error = f32x4_sub(f32x4_div(above, f32x4_add(ones, small)), y);
        let grad = f32x4_mul(f32x4_splat(factor), f32x4_mul(weigh4(y, negative_weight), error));
        store(logits_grad.wrapping_add(n), grad);
    };
    let one = |n: usize| {
        let (z, y) = (*logits.wrapping_add(n), *target.wrapping_add(n));
        let small = exp1(-z.abs());
        let error = (if z > 0.0 { 1.0 } else { small }) / (1.0 + small) - y;
        *logits_grad.wrapping_add(n) = factor * (weigh1(y, negative_weight) * error);
    };
    in_fours(N, four, one);
}
