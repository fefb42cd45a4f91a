//! relu: y = x > 0 ? x : +0.
//! relu_backward: x_grad = x > 0 ? y_grad : +0.
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
