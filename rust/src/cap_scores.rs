//! Capped scores of attention, cap tanh(score / cap), and what they gain with the score. tanh: src/ops/float32.ts, the same bits.
use crate::float32::{in_fours, load, store};
use crate::softmax_row::{power, write_constants};
use core::arch::wasm32::*;

/// scores[s] = cap tanh(scores[s] / cap), s < count; a cap of 0 or less is none.
#[inline(never)]
pub unsafe fn cap_scores(scores: *mut f32, cap: f32, count: usize) {
    if cap > 0.0 {
        write_constants();
        let caps = f32x4_splat(cap);
        in_fours(
            count,
            |s| {
                let at = scores.wrapping_add(s);
                store(at, f32x4_mul(caps, tanh_of_ratio(load(at), caps)));
            },
            |s| {
                let at = scores.wrapping_add(s);
                *at = cap * tanh_of_ratio1(*at, caps);
            },
        );
    }
}

/// slopes[s] = 1 - tanh(scores[s] / cap)^2, s < count, cap > 0.
#[inline(never)]
pub unsafe fn cap_slopes(slopes: *mut f32, scores: *const f32, cap: f32, count: usize) {
    write_constants();
    let caps = f32x4_splat(cap);
    for s in 0..count {
        let u = tanh_of_ratio1(*scores.wrapping_add(s), caps);
        *slopes.wrapping_add(s) = 1.0 - u * u;
    }
}

unsafe fn tanh_of_ratio1(score: f32, caps: v128) -> f32 {
    f32x4_extract_lane::<0>(tanh_of_ratio(f32x4_splat(score), caps))
}

/// tanh(score / cap) of four lanes, once `write_constants` has been called.
#[inline(always)]
unsafe fn tanh_of_ratio(scores: v128, caps: v128) -> v128 {
    const POLYNOMIAL: [f32; 5] =
        [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1];
    let x = f32x4_div(scores, caps);
    let size = f32x4_abs(x);
    let s = f32x4_mul(x, x);
    let mut p = f32x4_splat(POLYNOMIAL[0]);
    for i in 1..5 {
        p = f32x4_add(f32x4_mul(p, s), f32x4_splat(POLYNOMIAL[i]));
    }
    let near = f32x4_add(f32x4_mul(f32x4_mul(p, s), x), x);
    let one = f32x4_splat(1.0);
    let e = power([f32x4_mul(f32x4_splat(-2.0), size)])[0];
    let far = f32x4_div(f32x4_sub(one, e), f32x4_add(one, e));
    let signed = v128_or(far, v128_and(x, i32x4_splat(i32::MIN)));
    v128_bitselect(near, signed, f32x4_lt(size, f32x4_splat(0.625)))
}
