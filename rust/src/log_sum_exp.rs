//! log_sum_exp: y = max(x) + log(sum(e^(x - max(x)))) per row, striped sum.
//! log_sum_exp_backward: x_grad = y_grad * e^(x - y).
use crate::elementwise::scale_array;
use crate::float32::{exponentials, largest, log1};
use crate::softmax_row::sum_exponentials;

#[no_mangle]
pub unsafe extern "C" fn log_sum_exp(
    y: *mut f32,   // [T]
    x: *const f32, // [T, V]
    T: usize,
    V: usize,
) {
    for t in 0..T {
        let row = x.wrapping_add(t * V);
        let most = largest(row, V);
        *y.wrapping_add(t) = most + log1(sum_exponentials(row, most, V));
    }
}

#[no_mangle]
pub unsafe extern "C" fn log_sum_exp_backward(
    x_grad: *mut f32,   // [T, V]
    y_grad: *const f32, // [T]
    x: *const f32,      // [T, V]
    y: *const f32,      // [T]
    T: usize,
    V: usize,
) {
    for t in 0..T {
        let to = x_grad.wrapping_add(t * V);
        exponentials(to, x.wrapping_add(t * V), *y.wrapping_add(t), V);
        scale_array(to, to, *y_grad.wrapping_add(t), V);
    }
}
