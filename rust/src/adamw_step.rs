//! adamw_step: one AdamW step on N weights, in place. Formula: src/ops/adamw_step.ts.
use crate::float32::{in_fours, load, sqrt, store};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn adamw_step(
    weight: *mut f32, // [N]
    mean: *mut f32,   // [N]
    square: *mut f32, // [N]
    grad: *const f32, // [N]
    rate: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    decay: f32,
    correction1: f32,
    correction2: f32,
    N: usize,
) {
    let keep = 1.0 - rate * decay;
    let fresh1 = 1.0 - beta1;
    let fresh2 = 1.0 - beta2;
    let four = |n: usize| {
        let (weight, mean, square) = (weight.wrapping_add(n), mean.wrapping_add(n), square.wrapping_add(n));
        let g = load(grad.wrapping_add(n));
        let m = f32x4_add(f32x4_mul(f32x4_splat(beta1), load(mean)), f32x4_mul(f32x4_splat(fresh1), g));
        let v = f32x4_add(
            f32x4_mul(f32x4_splat(beta2), load(square)),
            f32x4_mul(f32x4_splat(fresh2), f32x4_mul(g, g)),
        );
        store(mean, m);
        store(square, v);
        let spread = f32x4_add(f32x4_sqrt(f32x4_div(v, f32x4_splat(correction2))), f32x4_splat(epsilon));
        let rise = f32x4_mul(f32x4_splat(rate), f32x4_div(m, f32x4_splat(correction1)));
        let kept = f32x4_mul(load(weight), f32x4_splat(keep));
        store(weight, f32x4_sub(kept, f32x4_div(rise, spread)));
    };
    let one = |n: usize| {
        let (weight, mean, square) = (weight.wrapping_add(n), mean.wrapping_add(n), square.wrapping_add(n));
        let g = *grad.wrapping_add(n);
        let m = beta1 * *mean + fresh1 * g;
        let v = beta2 * *square + fresh2 * (g * g);
        *mean = m;
        *square = v;
        let spread = sqrt(v / correction2) + epsilon;
        let step = (rate * (m / correction1)) / spread;
        *weight = *weight * keep - step;
    };
    in_fours(N, four, one);
}
