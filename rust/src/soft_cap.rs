//! soft_cap: y = cap tanh(x / cap); soft_cap_backward: its gradient.
use crate::cap_scores::{cap_scores, cap_slopes};

#[no_mangle]
pub unsafe extern "C" fn soft_cap(
    y: *mut f32,   // [N], may be x
    x: *const f32, // [N]
    cap: f32,
    N: usize,
) {
    core::ptr::copy(x, y, N);
    cap_scores(y, cap, N);
}

#[no_mangle]
pub unsafe extern "C" fn soft_cap_backward(
    x_grad: *mut f32,   // [N]
    y_grad: *const f32, // [N]
    x: *const f32,      // [N]
    cap: f32,
    N: usize,
) {
    if cap > 0.0 {
        cap_slopes(x_grad, x, cap, N);
        for n in 0..N {
            *x_grad.wrapping_add(n) *= *y_grad.wrapping_add(n);
        }
    } else {
        core::ptr::copy(y_grad, x_grad, N);
    }
}
