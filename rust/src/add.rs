//! add: y = a + b.
use crate::elementwise::add_arrays;

#[no_mangle]
pub unsafe extern "C" fn add(
    y: *mut f32,   // [N], may be a
    a: *const f32, // [N]
    b: *const f32, // [N]
    N: usize,
) {
    add_arrays(y, a, b, N);
}
