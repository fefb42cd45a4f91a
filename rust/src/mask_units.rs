//! mask_units: y[t, u, k] = x[t, u, k] * mask[u].
use crate::elementwise::scale_array;
use crate::float32::{in_fours, load, store};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn mask_units(
    y: *mut f32,      // [T, U, K], may be x
    x: *const f32,    // [T, U, K]
    mask: *const f32, // [U]
    T: usize,
    U: usize,
    K: usize,
) {
    for t in 0..T {
        let (y, x) = (y.wrapping_add(t * U * K), x.wrapping_add(t * U * K));
        if K == 1 {
            multiply(y, x, mask, U);
            continue;
        }
        for u in 0..U {
            scale_array(y.wrapping_add(u * K), x.wrapping_add(u * K), *mask.wrapping_add(u), K);
        }
    }
}

/// y[i] = a[i] * b[i], i < length.
unsafe fn multiply(y: *mut f32, a: *const f32, b: *const f32, length: usize) {
    in_fours(
        length,
        |i| store(y.wrapping_add(i), f32x4_mul(load(a.wrapping_add(i)), load(b.wrapping_add(i)))),
        |i| *y.wrapping_add(i) = *a.wrapping_add(i) * *b.wrapping_add(i),
    );
}
