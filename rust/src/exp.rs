//! exp: y = e^x. log: y = ln x. The polynomials of float32.rs, element by element.
use crate::float32::{exponentials, log1};

#[no_mangle]
pub unsafe extern "C" fn exp(
    y: *mut f32,   // [N], may be x
    x: *const f32, // [N]
    N: usize,
) {
    exponentials(y, x, 0.0, N);
}

#[no_mangle]
pub unsafe extern "C" fn log(
    y: *mut f32,   // [N], may be x
    x: *const f32, // [N]
    N: usize,
) {
    for n in 0..N {
        *y.wrapping_add(n) = log1(*x.wrapping_add(n));
    }
}
