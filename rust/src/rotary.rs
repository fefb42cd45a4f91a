//! rotary: turns the pairs (i, i + M) of the first R numbers of every head by the angles of its token; rotary_backward: by the opposite angles.
//! Formulas: src/ops/rotary.ts.
use crate::float32::{in_fours, load, store};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn rotary(
    y: *mut f32,       // [T, H, K], may be x
    x: *const f32,     // [T, H, K]
    table: *const f32, // [T, R]
    T: usize,
    H: usize,
    R: usize,
    K: usize,
) {
    turn(y, x, table, 1.0, T, H, R, K);
}

#[no_mangle]
pub unsafe extern "C" fn rotary_backward(
    x_grad: *mut f32,   // [T, H, K], may be y_grad
    y_grad: *const f32, // [T, H, K]
    table: *const f32,  // [T, R]
    T: usize,
    H: usize,
    R: usize,
    K: usize,
) {
    turn(x_grad, y_grad, table, -1.0, T, H, R, K);
}

/// By the angles of the table, or by the opposite ones where `direction` is -1.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
unsafe fn turn(
    y: *mut f32,
    x: *const f32,
    table: *const f32,
    direction: f32,
    T: usize,
    H: usize,
    R: usize,
    K: usize,
) {
    let M = R / 2;
    let directions = f32x4_splat(direction);
    for t in 0..T {
        let cosines = table.wrapping_add(t * R);
        let sines = cosines.wrapping_add(M);
        for h in 0..H {
            let (x, y) = (x.wrapping_add((t * H + h) * K), y.wrapping_add((t * H + h) * K));
            let four = |i: usize| {
                let cos = load(cosines.wrapping_add(i));
                let sin = f32x4_mul(directions, load(sines.wrapping_add(i)));
                let (first, second) = (load(x.wrapping_add(i)), load(x.wrapping_add(i + M)));
                store(y.wrapping_add(i), f32x4_sub(f32x4_mul(first, cos), f32x4_mul(second, sin)));
                store(y.wrapping_add(i + M), f32x4_add(f32x4_mul(second, cos), f32x4_mul(first, sin)));
            };
            let one = |i: usize| {
                let (cos, sin) = (*cosines.wrapping_add(i), direction * *sines.wrapping_add(i));
                let (first, second) = (*x.wrapping_add(i), *x.wrapping_add(i + M));
                *y.wrapping_add(i) = first * cos - second * sin;
                *y.wrapping_add(i + M) = second * cos + first * sin;
            };
            in_fours(M, four, one);
            // Numbers without a partner.
            for i in 2 * M..K {
                *y.wrapping_add(i) = *x.wrapping_add(i);
            }
        }
    }
}
