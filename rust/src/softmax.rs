//! softmax: each row e^(x - max) divided by its striped sum.
//! softmax_backward: x_grad = y (y_grad - <y_grad, y>), from the output.
use crate::float32::{dot, in_fours, load, store};
use crate::softmax_row::softmax_row;
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn softmax(
    y: *mut f32,   // [T, V]
    x: *const f32, // [T, V]
    T: usize,
    V: usize,
) {
    for t in 0..T {
        softmax_row(y.wrapping_add(t * V), x.wrapping_add(t * V), V);
    }
}

#[no_mangle]
pub unsafe extern "C" fn softmax_backward(
    x_grad: *mut f32,   // [T, V]
    y_grad: *const f32, // [T, V]
    y: *const f32,      // [T, V]
    T: usize,
    V: usize,
) {
    for t in 0..T {
        let to = x_grad.wrapping_add(t * V);
        let (grad, output) = (y_grad.wrapping_add(t * V), y.wrapping_add(t * V));
        let mean = dot(grad, output, V);
        let means = f32x4_splat(mean);
        let four = |v: usize| {
            let centred = f32x4_sub(load(grad.wrapping_add(v)), means);
            store(to.wrapping_add(v), f32x4_mul(load(output.wrapping_add(v)), centred));
        };
        let one = |v: usize| *to.wrapping_add(v) = *output.wrapping_add(v) * (*grad.wrapping_add(v) - mean);
        in_fours(V, four, one);
    }
}
