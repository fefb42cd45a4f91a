//! relu: y = x > 0 ? x : +0.
//! relu_backward: x_grad = x > 0 ? y_grad : +0.
//! relu_gate: y = gate > 0 ? gate * up : +0; relu_gate_backward: its gradients. Formulas: src/ops/activations.ts.
use crate::float32::{in_fours, load, store, zeros};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn relu(
    y: *mut f32,   // [N], may be x
    x: *const f32, // [N]
    N: usize,
) {
    relu_backward(y, x, x, N);
}

#[no_mangle]
pub unsafe extern "C" fn relu_backward(
    x_grad: *mut f32,   // [N], may be y_grad
    y_grad: *const f32, // [N]
    x: *const f32,      // [N]
    N: usize,
) {
    let four = |n: usize| {
        let is_above = f32x4_gt(load(x.wrapping_add(n)), zeros());
        store(x_grad.wrapping_add(n), v128_and(load(y_grad.wrapping_add(n)), is_above));
    };
    let one = |n: usize| {
        *x_grad.wrapping_add(n) = if *x.wrapping_add(n) > 0.0 { *y_grad.wrapping_add(n) } else { 0.0 };
    };
    in_fours(N, four, one);
}

#[no_mangle]
pub unsafe extern "C" fn relu_gate(
    y: *mut f32,      // [N], may be gate
    gate: *const f32, // [N]
    up: *const f32,   // [N]
    N: usize,
) {
    let four = |n: usize| {
        let z = load(gate.wrapping_add(n));
        store(y.wrapping_add(n), opened(z, z, load(up.wrapping_add(n))));
    };
    let one = |n: usize| {
        let z = *gate.wrapping_add(n);
        *y.wrapping_add(n) = if z > 0.0 { z * *up.wrapping_add(n) } else { 0.0 };
    };
    in_fours(N, four, one);
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
    let four = |n: usize| {
        let (z, grad) = (load(gate.wrapping_add(n)), load(y_grad.wrapping_add(n)));
        store(gate_grad.wrapping_add(n), opened(z, grad, load(up.wrapping_add(n))));
        store(up_grad.wrapping_add(n), opened(z, grad, z));
    };
    let one = |n: usize| {
        let (z, grad) = (*gate.wrapping_add(n), *y_grad.wrapping_add(n));
        let is_open = z > 0.0;
        *gate_grad.wrapping_add(n) = if is_open { grad * *up.wrapping_add(n) } else { 0.0 };
        *up_grad.wrapping_add(n) = if is_open { grad * z } else { 0.0 };
    };
    in_fours(N, four, one);
}

/// a * b where the gate is above 0, else +0.
#[inline(always)]
unsafe fn opened(gate: v128, a: v128, b: v128) -> v128 {
    v128_and(f32x4_mul(a, b), f32x4_gt(gate, zeros()))
}
