//! Integer products of int16 numbers in pairs: what `i32x4_dot_i16x8` multiplies and adds. Sums in 32 bits are exact, so
//! they have no order.
use core::arch::wasm32::*;

/// sums + q * weights, each pair of products added up.
#[inline(always)]
pub fn multiply_pairs(sums: v128, q: v128, weights: v128) -> v128 {
    i32x4_add(sums, i32x4_dot_i16x8(q, weights))
}

/// The first four numbers of two rows of eight, in pairs.
#[inline(always)]
pub fn lower_pairs(row0: v128, row1: v128) -> v128 {
    i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(row0, row1)
}

/// The last four numbers of two rows of eight, in pairs.
#[inline(always)]
pub fn upper_pairs(row0: v128, row1: v128) -> v128 {
    i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(row0, row1)
}

/// Eight int8 as int16.
#[inline(always)]
pub unsafe fn load_eight(at: *const i8) -> v128 {
    i16x8_load_extend_i8x8(at)
}

/// The sums of the lanes of each of four vectors.
#[inline(always)]
pub fn sums_of_lanes(a: v128, b: v128, c: v128, d: v128) -> v128 {
    let ab = i32x4_add(i32x4_shuffle::<0, 1, 4, 5>(a, b), i32x4_shuffle::<2, 3, 6, 7>(a, b));
    let cd = i32x4_add(i32x4_shuffle::<0, 1, 4, 5>(c, d), i32x4_shuffle::<2, 3, 6, 7>(c, d));
    i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(ab, cd), i32x4_shuffle::<1, 3, 5, 7>(ab, cd))
}
