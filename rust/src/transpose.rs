//! transpose: y[i, o] = x[o, i], in 4 x 4 blocks of shuffles.
use crate::float32::{load, store};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn transpose(
    y: *mut f32,   // [I, O]
    x: *const f32, // [O, I]
    O: usize,
    I: usize,
) {
    let (whole_o, whole_i) = (O & !3, I & !3);
    for o in (0..whole_o).step_by(4) {
        for i in (0..whole_i).step_by(4) {
            transpose_block(y.wrapping_add(i * O + o), O, x.wrapping_add(o * I + i), I);
        }
        copy_edge(y, x, o..o + 4, whole_i..I, O, I);
    }
    copy_edge(y, x, whole_o..O, 0..I, O, I);
}

/// Element by element: these rows and columns of x.
pub unsafe fn copy_edge<T: Copy>(
    y: *mut T,
    x: *const T,
    rows: core::ops::Range<usize>,
    columns: core::ops::Range<usize>,
    O: usize,
    I: usize,
) {
    for o in rows {
        for i in columns.clone() {
            *y.wrapping_add(i * O + o) = *x.wrapping_add(o * I + i);
        }
    }
}

unsafe fn transpose_block(y: *mut f32, y_stride: usize, x: *const f32, x_stride: usize) {
    let [row0, row1, row2, row3] = [0, 1, 2, 3].map(|row| load(x.wrapping_add(row * x_stride)));
    let low01 = i32x4_shuffle::<0, 4, 1, 5>(row0, row1);
    let high01 = i32x4_shuffle::<2, 6, 3, 7>(row0, row1);
    let low23 = i32x4_shuffle::<0, 4, 1, 5>(row2, row3);
    let high23 = i32x4_shuffle::<2, 6, 3, 7>(row2, row3);
    store(y, i32x4_shuffle::<0, 1, 4, 5>(low01, low23));
    store(y.wrapping_add(y_stride), i32x4_shuffle::<2, 3, 6, 7>(low01, low23));
    store(y.wrapping_add(2 * y_stride), i32x4_shuffle::<0, 1, 4, 5>(high01, high23));
    store(y.wrapping_add(3 * y_stride), i32x4_shuffle::<2, 3, 6, 7>(high01, high23));
}
