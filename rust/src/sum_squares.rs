//! sum_squares: total += sum(x^2), striped.
use crate::float32::dot;

#[no_mangle]
pub unsafe extern "C" fn sum_squares(
    total: *mut f32, // [1]
    x: *const f32,   // [N]
    N: usize,
) {
    *total += dot(x, x, N);
}
