//! mse: loss = sum((prediction - target)^2) / N, striped.
//! mse_backward: prediction_grad = loss_grad * 2 (prediction - target) / N.
use crate::float32::{in_fours, load, store, striped};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn mse(
    loss: *mut f32,         // [1]
    prediction: *const f32, // [N]
    target: *const f32,     // [N]
    N: usize,
) {
    let four = |[a, b]: [v128; 2]| {
        let difference = f32x4_sub(a, b);
        f32x4_mul(difference, difference)
    };
    let one = |[a, b]: [f32; 2]| (a - b) * (a - b);
    *loss = striped([prediction, target], N, four, one) / N as f32;
}

#[no_mangle]
pub unsafe extern "C" fn mse_backward(
    prediction_grad: *mut f32, // [N]
    loss_grad: *const f32,     // [1]
    prediction: *const f32,    // [N]
    target: *const f32,        // [N]
    N: usize,
) {
    let factor = (*loss_grad * 2.0) / N as f32;
    let four = |n: usize| {
        let difference = f32x4_sub(load(prediction.wrapping_add(n)), load(target.wrapping_add(n)));
        store(prediction_grad.wrapping_add(n), f32x4_mul(f32x4_splat(factor), difference));
    };
    let one = |n: usize| {
        *prediction_grad.wrapping_add(n) = factor * (*prediction.wrapping_add(n) - *target.wrapping_add(n));
    };
    in_fours(N, four, one);
}
