//! transpose_bf16, transpose_f16: y[i, o] = x[o, i] of numbers of two bytes, whatever they are, in 8 x 8 blocks of shuffles.
//!
//! Blocks go down the rows of x, few enough rows that what is read of each stays in a cache until the block beside it needs
//! the rest: rows of weights are often a power of two apart, which is the worst there is for one.
use crate::float32::{load, store};
use crate::int16_pairs::{lower_pairs, upper_pairs};
use crate::transpose::copy_edge;
use core::arch::wasm32::*;

/// Rows of x that are gone through side by side.
const BAND: usize = 64;

#[no_mangle]
pub unsafe extern "C" fn transpose_bf16(
    y: *mut u16,   // [I, O] bf16
    x: *const u16, // [O, I] bf16
    O: usize,
    I: usize,
) {
    transpose_16(y, x, O, I);
}

#[no_mangle]
pub unsafe extern "C" fn transpose_f16(
    y: *mut u16,   // [I, O] f16
    x: *const u16, // [O, I] f16
    O: usize,
    I: usize,
) {
    transpose_16(y, x, O, I);
}

unsafe fn transpose_16(y: *mut u16, x: *const u16, O: usize, I: usize) {
    let (whole_o, whole_i) = (O & !7, I & !7);
    for band in (0..whole_o).step_by(BAND) {
        let end = (band + BAND).min(whole_o);
        for i in (0..whole_i).step_by(8) {
            for o in (band..end).step_by(8) {
                transpose_block(y.wrapping_add(i * O + o), O, x.wrapping_add(o * I + i), I);
            }
        }
    }
    copy_edge(y, x, 0..whole_o, whole_i..I, O, I);
    copy_edge(y, x, whole_o..O, 0..I, O, I);
}

/// Pairs of numbers of the first halves of two registers, in turns.
fn first_32(a: v128, b: v128) -> v128 {
    i32x4_shuffle::<0, 4, 1, 5>(a, b)
}

fn last_32(a: v128, b: v128) -> v128 {
    i32x4_shuffle::<2, 6, 3, 7>(a, b)
}

/// Two columns out of the first and the last four numbers of each.
unsafe fn store_two(y: *mut u16, stride: usize, top: v128, bottom: v128) {
    store(y, i64x2_shuffle::<0, 2>(top, bottom));
    store(y.wrapping_add(stride), i64x2_shuffle::<1, 3>(top, bottom));
}

unsafe fn transpose_block(y: *mut u16, y_stride: usize, x: *const u16, x_stride: usize) {
    let row = [0, 1, 2, 3, 4, 5, 6, 7].map(|row| load(x.wrapping_add(row * x_stride)));
    let [a01, a23, a45, a67] = [0, 2, 4, 6].map(|first| lower_pairs(row[first], row[first + 1]));
    store_two(y, y_stride, first_32(a01, a23), first_32(a45, a67));
    store_two(y.wrapping_add(2 * y_stride), y_stride, last_32(a01, a23), last_32(a45, a67));
    let [b01, b23, b45, b67] = [0, 2, 4, 6].map(|first| upper_pairs(row[first], row[first + 1]));
    store_two(y.wrapping_add(4 * y_stride), y_stride, first_32(b01, b23), first_32(b45, b67));
    store_two(y.wrapping_add(6 * y_stride), y_stride, last_32(b01, b23), last_32(b45, b67));
}
