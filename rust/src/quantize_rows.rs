//! quantize_rows: each row as int8 steps of its largest |x| / 127, as src/tensor/dtypes.ts does it.
use crate::elementwise::largest_size;
use crate::float32::{in_fours, load};
use crate::quantized_steps::nearest_steps;
use crate::units::clear;
use core::arch::wasm32::*;

/// The largest float32 that times 127 is still finite.
const LARGEST_SCALE: f32 = 2.6793883890187504e36;

#[no_mangle]
pub unsafe extern "C" fn quantize_rows(
    y: *mut i8,       // [O, I]
    scales: *mut f32, // [O]
    x: *const f32,    // [O, I]
    O: usize,
    I: usize,
) {
    for o in 0..O {
        *scales.wrapping_add(o) = quantize_row(y.wrapping_add(o * I), x.wrapping_add(o * I), I);
    }
}

/// Writes a row as int8 and returns its scale.
#[inline(never)]
pub unsafe fn quantize_row(y: *mut i8, x: *const f32, length: usize) -> f32 {
    let scale = scale_for(largest_size(x, length));
    // Also where it is NaN.
    if !(scale > 0.0) {
        clear(y, length);
        return scale;
    }
    let (scales, most) = (f32x4_splat(scale), f32x4_splat(127.0));
    let four = |i: usize| {
        let four = nearest_steps(load(x.wrapping_add(i)), scales, most);
        let eight = i16x8_narrow_i32x4(four, four);
        v128_store32_lane::<0>(i8x16_narrow_i16x8(eight, eight), y.wrapping_add(i).cast());
    };
    let one = |i: usize| {
        let first = nearest_steps(v128_load32_zero(x.wrapping_add(i).cast()), scales, most);
        *y.wrapping_add(i) = i32x4_extract_lane::<0>(first) as i8;
    };
    in_fours(length, four, one);
    scale
}

fn scale_for(largest: f32) -> f32 {
    if !(largest < f32::INFINITY) {
        return f32::NAN;
    }
    let scale = largest / 127.0;
    if scale < LARGEST_SCALE {
        scale
    } else {
        LARGEST_SCALE
    }
}
