//! sum: total += sum(x), striped.
use crate::float32;

#[no_mangle]
pub unsafe extern "C" fn sum(
    total: *mut f32, // [1]
    x: *const f32,   // [N]
    N: usize,
) {
    *total += float32::sum(x, N);
}
