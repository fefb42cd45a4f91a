//! narrow_bf16, narrow_f16: float32 rounded to half precision, ties to even, as src/tensor/dtypes.ts does it. Four numbers
//! at a time as integers; a NaN keeps what fits of its payload.
use crate::float32::{in_fours, load};
use core::arch::wasm32::*;

#[no_mangle]
pub unsafe extern "C" fn narrow_bf16(
    y: *mut u16,   // [N] bf16
    x: *const f32, // [N]
    N: usize,
) {
    narrow(y, x, N, to_bf16);
}

#[no_mangle]
pub unsafe extern "C" fn narrow_f16(
    y: *mut u16,   // [N] f16
    x: *const f32, // [N]
    N: usize,
) {
    narrow(y, x, N, to_f16);
}

/// Rounds by what makes four integers below 2^16 of four numbers.
#[inline(always)]
unsafe fn narrow(y: *mut u16, x: *const f32, N: usize, round: impl Fn(v128) -> v128) {
    let packed = |numbers: v128| {
        let patterns = round(numbers);
        u16x8_narrow_i32x4(patterns, patterns)
    };
    in_fours(
        N,
        |n| v128_store64_lane::<0>(packed(load(x.wrapping_add(n))), y.wrapping_add(n).cast()),
        |n| v128_store16_lane::<0>(packed(v128_load32_zero(x.wrapping_add(n).cast())), y.wrapping_add(n)),
    );
}

/// Every bit is set where a number is NaN.
fn is_nan(size: v128) -> v128 {
    i32x4_gt(size, i32x4_splat(0x7f80_0000))
}

/// What is cut off rounds up if it is more than half, or half and the last bit kept is odd.
fn rounded(x: v128, dropped: u32) -> v128 {
    let odd = v128_and(u32x4_shr(x, dropped), i32x4_splat(1));
    let almost_half = i32x4_splat((1 << (dropped - 1)) - 1);
    u32x4_shr(i32x4_add(i32x4_add(x, almost_half), odd), dropped)
}

fn to_bf16(x: v128) -> v128 {
    let size = v128_and(x, i32x4_splat(0x7fff_ffff));
    let high = u32x4_shr(x, 16);
    // A NaN whose payload does not fit would become an infinity.
    let lacks = i32x4_eq(v128_and(high, i32x4_splat(0x7f)), i32x4_splat(0));
    let nan = v128_or(high, v128_and(lacks, i32x4_splat(0x40)));
    v128_bitselect(nan, rounded(x, 16), is_nan(size))
}

fn to_f16(x: v128) -> v128 {
    let size = v128_and(x, i32x4_splat(0x7fff_ffff));
    let sign = v128_and(u32x4_shr(x, 16), i32x4_splat(0x8000));
    let normal = rounded(i32x4_sub(size, i32x4_splat(0x3800_0000)), 13);
    // Below 2^-14: added to a half, whose last bit is 2^-24, a number is rounded to a subnormal f16.
    let half = f32x4_splat(0.5);
    let subnormal = i32x4_sub(f32x4_add(size, half), half);
    let payload = v128_and(u32x4_shr(size, 13), i32x4_splat(0x3ff));
    let lacks = i32x4_eq(payload, i32x4_splat(0));
    let nan = v128_or(v128_or(payload, v128_and(lacks, i32x4_splat(0x200))), i32x4_splat(0x7c00));
    let mut y = v128_bitselect(subnormal, normal, i32x4_lt(size, i32x4_splat(0x3880_0000)));
    y = v128_bitselect(i32x4_splat(0x7c00), y, i32x4_ge(size, i32x4_splat(0x477f_f000)));
    y = v128_bitselect(nan, y, is_nan(size));
    v128_or(sign, y)
}
