//! gelu_tanh_gate: y = gate / (1 + e^-2u) * up, 2u = (a gate) (1 + b gate^2).
//! gelu_tanh_gate_backward: its gradients. Formulas: src/ops/activations.ts.
//!
//! The numbers past the last whole four go through the same four lanes, one at a time.
use crate::float32::{exp4, in_fours, load, splat_at, store};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn gelu_tanh_gate(
    y: *mut f32,      // [N], may be gate
    gate: *const f32, // [N]
    up: *const f32,   // [N]
    N: usize,
) {
    let four =
        |n: usize| store(y.wrapping_add(n), gated(load(gate.wrapping_add(n)), load(up.wrapping_add(n))));
    let one = |n: usize| {
        *y.wrapping_add(n) = first(gated(splat_at(gate.wrapping_add(n)), splat_at(up.wrapping_add(n))))
    };
    in_fours(N, four, one);
}

#[no_mangle]
pub unsafe extern "C" fn gelu_tanh_gate_backward(
    gate_grad: *mut f32, // [N]
    up_grad: *mut f32,   // [N]
    y_grad: *const f32,  // [N]
    gate: *const f32,    // [N]
    up: *const f32,      // [N]
    N: usize,
) {
    let four = |n: usize| {
        let (z, grad) = (load(gate.wrapping_add(n)), load(y_grad.wrapping_add(n)));
        let d = denominator(z);
        store(gate_grad.wrapping_add(n), gate_gradient(z, d, grad, load(up.wrapping_add(n))));
        store(up_grad.wrapping_add(n), f32x4_mul(grad, f32x4_div(z, d)));
    };
    let one = |n: usize| {
        let (z, grad) = (splat_at(gate.wrapping_add(n)), splat_at(y_grad.wrapping_add(n)));
        let d = denominator(z);
        *gate_grad.wrapping_add(n) = first(gate_gradient(z, d, grad, splat_at(up.wrapping_add(n))));
        *up_grad.wrapping_add(n) = first(f32x4_mul(grad, f32x4_div(z, d)));
    };
    in_fours(N, four, one);
}

#[inline(always)]
fn first(x: v128) -> f32 {
    f32x4_extract_lane::<0>(x)
}

/// 2 sqrt(2 / pi)
const SLOPE: f32 = 1.5957691216057308;
const CUBE: f32 = 0.044715;
/// Three times that.
const CUBE_SLOPE: f32 = 0.134145;

/// 1 + e^-2u
#[inline(always)]
fn denominator(z: v128) -> v128 {
    let ones = f32x4_splat(1.0);
    let stretched = f32x4_add(ones, f32x4_mul(f32x4_splat(CUBE), f32x4_mul(z, z)));
    f32x4_add(ones, exp4(f32x4_neg(f32x4_mul(f32x4_mul(f32x4_splat(SLOPE), z), stretched))))
}

/// z / (1 + e^-2u) * up
#[inline(always)]
fn gated(z: v128, up: v128) -> v128 {
    f32x4_mul(f32x4_div(z, denominator(z)), up)
}

/// (y_grad * up) * (s * (1 + (z * (1 - s)) * (a * (1 + 3 b z^2)))), s = 1 / d
#[inline(always)]
fn gate_gradient(z: v128, d: v128, y_grad: v128, up: v128) -> v128 {
    let ones = f32x4_splat(1.0);
    let s = f32x4_div(ones, d);
    let stretched = f32x4_add(ones, f32x4_mul(f32x4_splat(CUBE_SLOPE), f32x4_mul(z, z)));
    let rest = f32x4_mul(f32x4_mul(z, f32x4_sub(ones, s)), f32x4_mul(f32x4_splat(SLOPE), stretched));
    let slope = f32x4_mul(s, f32x4_add(ones, rest));
    f32x4_mul(f32x4_mul(y_grad, up), slope)
}
