//! What the int8 ops make of numbers: whole steps of one size (src/ops/quantized_steps.ts). Nothing here has an order, and
//! sums of whole numbers have none either.
use crate::elementwise::largest_size;
use crate::float32::{load, store, zeros, ROUNDER};
use core::arch::wasm32::*;

/// What 16 bits hold.
pub const MOST_LEVELS: usize = 32767;

/// What 32 bits hold, in products of a level and an int8.
const MOST_PRODUCTS: usize = i32::MAX as usize / 127;

/// So few numbers may all be as many steps away from zero.
const FULL_LENGTH: usize = MOST_PRODUCTS / MOST_LEVELS;

/// The whole numbers of steps nearest to four numbers, ties to even, at most `most` either way; NaN becomes 0.
#[inline(always)]
pub fn nearest_steps(x: v128, step: v128, most: v128) -> v128 {
    let nearest = f32x4_nearest(f32x4_div(x, step));
    // pmin and pmax keep a NaN that comes first.
    i32x4_trunc_sat_f32x4(f32x4_pmax(f32x4_pmin(nearest, most), f32x4_neg(most)))
}

/// Rounds x to int16 steps, few enough that sums of products with int8 stay in 32 bits; returns the step.
#[inline(never)]
pub unsafe fn quantize_steps(
    mut q: *mut i16,   // [length]
    mut x: *const f32, // [length]
    length: usize,
) -> f32 {
    let levels = levels_for(x, length);
    let step = largest_size(x, length) / levels as f32;
    let steps = f32x4_splat(step);
    let most = f32x4_splat(levels as f32);
    let end = x.wrapping_add(length);
    if is_plain_step(step) {
        let eights = x.wrapping_add(length & !7);
        while x < eights {
            store(q, eight_steps(x, steps));
            x = x.add(8);
            q = q.add(8);
        }
    }
    while x < end {
        *q = i32x4_extract_lane::<0>(nearest_steps(v128_load32_zero(x.cast()), steps, most)) as i16;
        x = x.add(1);
        q = q.add(1);
    }
    step
}

/// Whether a step is finite and has all its bits: then what is no more than `levels` of it has a quotient that is no more.
pub fn is_plain_step(step: f32) -> bool {
    (f32::MIN_POSITIVE..f32::INFINITY).contains(&step)
}

/// `nearest_steps` of eight numbers as int16, for steps that are plain.
#[inline(always)]
pub unsafe fn eight_steps(x: *const f32, steps: v128) -> v128 {
    let rounder = f32x4_splat(ROUNDER);
    let a = f32x4_add(f32x4_div(load(x), steps), rounder);
    let b = f32x4_add(f32x4_div(load(x.add(4)), steps), rounder);
    i16x8_narrow_i32x4(i32x4_sub(a, rounder), i32x4_sub(b, rounder))
}

/// The most steps that a number may be away from zero.
unsafe fn levels_for(x: *const f32, length: usize) -> usize {
    if length <= FULL_LENGTH {
        return MOST_LEVELS;
    }
    MOST_LEVELS.min(MOST_PRODUCTS / count_nonzero(x, length).max(1))
}

/// How many of x[i], i < length, are not zero; NaN is not.
pub unsafe fn count_nonzero(mut x: *const f32, length: usize) -> usize {
    let (whole, end) = (x.wrapping_add(length & !3), x.wrapping_add(length));
    let mut counts = i32x4_splat(0);
    while x < whole {
        counts = i32x4_sub(counts, f32x4_ne(load(x), zeros()));
        x = x.add(4);
    }
    let mut count = u32x4_extract_lane::<0>(counts)
        + u32x4_extract_lane::<1>(counts)
        + u32x4_extract_lane::<2>(counts)
        + u32x4_extract_lane::<3>(counts);
    while x < end {
        count += u32::from(*x != 0.0);
        x = x.add(1);
    }
    count as usize
}
