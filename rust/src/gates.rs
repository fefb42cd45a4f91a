//! The gates silu_gate, relu_gate and gelu_tanh_gate with their gradients. Formulas: src/ops/activations.ts.
//!
//! The numbers past the last whole four go through the same four lanes, one at a time.
use crate::float32::{exp4, in_fours, load, splat_at, store, zeros};
use core::arch::wasm32::*;

/// The function of a gate, as a constant of each kernel.
const SILU: u8 = 0;
const RELU: u8 = 1;
const GELU_TANH: u8 = 2;

#[no_mangle]
pub unsafe extern "C" fn silu_gate(
    y: *mut f32,      // [N], may be gate
    gate: *const f32, // [N]
    up: *const f32,   // [N]
    N: usize,
) {
    forward::<SILU>(y, gate, up, N);
}

#[no_mangle]
pub unsafe extern "C" fn silu_gate_backward(
    gate_grad: *mut f32, // [N]
    up_grad: *mut f32,   // [N]
    y_grad: *const f32,  // [N]
    gate: *const f32,    // [N]
    up: *const f32,      // [N]
    N: usize,
) {
    backward::<SILU>(gate_grad, up_grad, y_grad, gate, up, N);
}

#[no_mangle]
pub unsafe extern "C" fn relu_gate(
    y: *mut f32,      // [N], may be gate
    gate: *const f32, // [N]
    up: *const f32,   // [N]
    N: usize,
) {
    forward::<RELU>(y, gate, up, N);
}

#[no_mangle]
pub unsafe extern "C" fn relu_gate_backward(
    gate_grad: *mut f32, // [N]
    up_grad: *mut f32,   // [N]
    y_grad: *const f32,  // [N]
    gate: *const f32,    // [N]
    up: *const f32,      // [N]
    N: usize,
) {
    backward::<RELU>(gate_grad, up_grad, y_grad, gate, up, N);
}

#[no_mangle]
pub unsafe extern "C" fn gelu_tanh_gate(
    y: *mut f32,      // [N], may be gate
    gate: *const f32, // [N]
    up: *const f32,   // [N]
    N: usize,
) {
    forward::<GELU_TANH>(y, gate, up, N);
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
    backward::<GELU_TANH>(gate_grad, up_grad, y_grad, gate, up, N);
}

#[inline(always)]
unsafe fn forward<const GATE: u8>(y: *mut f32, gate: *const f32, up: *const f32, N: usize) {
    let gated = |z: v128, up: v128| times::<GATE>(up, z, denominator::<GATE>(z));
    let four =
        |n: usize| store(y.wrapping_add(n), gated(load(gate.wrapping_add(n)), load(up.wrapping_add(n))));
    let one = |n: usize| {
        *y.wrapping_add(n) = first(gated(splat_at(gate.wrapping_add(n)), splat_at(up.wrapping_add(n))))
    };
    in_fours(N, four, one);
}

#[inline(always)]
unsafe fn backward<const GATE: u8>(
    gate_grad: *mut f32,
    up_grad: *mut f32,
    y_grad: *const f32,
    gate: *const f32,
    up: *const f32,
    N: usize,
) {
    let gradients = |z: v128, up: v128, grad: v128| {
        let d = denominator::<GATE>(z);
        (times_slope::<GATE>(f32x4_mul(grad, up), z, d), times::<GATE>(grad, z, d))
    };
    let four = |n: usize| {
        let (z, up) = (load(gate.wrapping_add(n)), load(up.wrapping_add(n)));
        let (of_gate, of_up) = gradients(z, up, load(y_grad.wrapping_add(n)));
        store(gate_grad.wrapping_add(n), of_gate);
        store(up_grad.wrapping_add(n), of_up);
    };
    let one = |n: usize| {
        let (z, up) = (splat_at(gate.wrapping_add(n)), splat_at(up.wrapping_add(n)));
        let (of_gate, of_up) = gradients(z, up, splat_at(y_grad.wrapping_add(n)));
        *gate_grad.wrapping_add(n) = first(of_gate);
        *up_grad.wrapping_add(n) = first(of_up);
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

/// 1 + e^-z of silu, 1 + e^-2u of gelu; relu has none.
#[inline(always)]
fn denominator<const GATE: u8>(z: v128) -> v128 {
    if GATE == RELU {
        return z;
    }
    let scaled = f32x4_mul(f32x4_splat(SLOPE), z);
    let exponent = if GATE == GELU_TANH { f32x4_mul(scaled, stretched(z, CUBE)) } else { z };
    f32x4_add(f32x4_splat(1.0), exp4(f32x4_neg(exponent)))
}

/// 1 + cube z^2
#[inline(always)]
fn stretched(z: v128, cube: f32) -> v128 {
    f32x4_add(f32x4_splat(1.0), f32x4_mul(f32x4_splat(cube), f32x4_mul(z, z)))
}

/// x times the gate's value: z / d, or of relu z where z is above 0.
#[inline(always)]
fn times<const GATE: u8>(x: v128, z: v128, d: v128) -> v128 {
    if GATE == RELU {
        return v128_and(f32x4_mul(x, z), f32x4_gt(z, zeros()));
    }
    f32x4_mul(f32x4_div(z, d), x)
}

/// x times the gate's slope. With s = 1 / d: s (1 + z (1 - s)) of silu, s (1 + (z (1 - s)) (a (1 + 3 b z^2))) of gelu.
#[inline(always)]
fn times_slope<const GATE: u8>(x: v128, z: v128, d: v128) -> v128 {
    if GATE == RELU {
        return v128_and(x, f32x4_gt(z, zeros()));
    }
    let ones = f32x4_splat(1.0);
    let s = f32x4_div(ones, d);
    let linear = f32x4_mul(z, f32x4_sub(ones, s));
    let slope = f32x4_mul(f32x4_splat(SLOPE), stretched(z, CUBE_SLOPE));
    let rest = if GATE == GELU_TANH { f32x4_mul(linear, slope) } else { linear };
    f32x4_mul(x, f32x4_mul(s, f32x4_add(ones, rest)))
}
