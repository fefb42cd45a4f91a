//! Values held as int8, weighed by factors rounded to int16 and added as whole numbers, a block of positions at a time
//! (src/ops/attention_i8.ts). Within a block nothing has an order.
use crate::elementwise::{larger_sizes, largest_lane};
use crate::float32::{load, splat_at, store};
use crate::int16_pairs::{load_eight, lower_pairs, multiply_pairs, upper_pairs};
use crate::quantized_steps::{eight_steps, is_plain_step, nearest_steps, MOST_LEVELS};
use crate::scratch::block_factors;
use crate::units::clear;
use core::arch::wasm32::*;

/// Positions of a block.
pub const VALUE_BLOCK: usize = 64;

/// y += factors[s] scales[s] * rows[s], skipped <= s < count, the factors of each block as int16; skipped: below a block.
#[inline(never)]
pub unsafe fn add_byte_values(
    y: *mut f32,        // [K]
    rows: *const i8,    // [count, K]
    factors: *mut f32,  // [count]
    scales: *const f32, // [count]
    skipped: usize,
    count: usize,
    K: usize,
) {
    let q = block_factors();
    let whole = K & !15;
    for first in (0..count).step_by(VALUE_BLOCK) {
        let size = VALUE_BLOCK.min(count - first);
        let rows = rows.wrapping_add(first * K);
        let skipped = if first == 0 { skipped } else { 0 };
        let step = round_factors(q, factors.wrapping_add(first), scales.wrapping_add(first), skipped, size);
        for k in (0..whole).step_by(16) {
            add_columns(y.wrapping_add(k), rows.wrapping_add(k), q, step, size, K);
        }
        for k in whole..K {
            add_column(y.wrapping_add(k), rows.wrapping_add(k), q, step, size, K);
        }
    }
}

/// Factors of a block, multiplied by their scales, as int16 steps; returns the step. Factors and steps that are skipped, and
/// those after the last up to a multiple of eight, are 0.
#[inline(never)]
pub unsafe fn round_factors(
    mut q: *mut i16,        // [VALUE_BLOCK]
    mut factors: *mut f32,  // [VALUE_BLOCK]
    mut scales: *const f32, // [size]
    skipped: usize,
    size: usize,
) -> f32 {
    let (eights, end) = (factors.wrapping_add(size & !7), factors.wrapping_add(size));
    let mut most = [i32x4_splat(0); 2];
    let mut x = factors;
    if skipped > 0 {
        clear(x, skipped);
        x = x.wrapping_add(skipped);
        scales = scales.wrapping_add(skipped);
        // One by one, up to a multiple of eight.
        let next = factors.wrapping_add(size.min((skipped + 7) & !7));
        while x < next {
            *x *= *scales;
            most[0] = larger_sizes(most[0], v128_load32_zero(x.cast()));
            x = x.add(1);
            scales = scales.add(1);
        }
    }
    while x < eights {
        for half in 0..2 {
            let four = f32x4_mul(load(x.add(4 * half)), load(scales.add(4 * half)));
            most[half] = larger_sizes(most[half], four);
            store(x.add(4 * half), four);
        }
        x = x.add(8);
        scales = scales.add(8);
    }
    if size % 8 > 0 {
        while x < end {
            *x *= *scales;
            most[0] = larger_sizes(most[0], v128_load32_zero(x.cast()));
            x = x.add(1);
            scales = scales.add(1);
        }
        let padding = (8 - size % 8) % 8;
        clear(x, padding);
        x = x.wrapping_add(padding);
    }
    let steps = f32x4_div(largest_lane(i32x4_max(most[0], most[1])), f32x4_splat(MOST_LEVELS as f32));
    let step = f32x4_extract_lane::<0>(steps);
    if is_plain_step(step) {
        while factors < x {
            store(q, eight_steps(factors, steps));
            factors = factors.add(8);
            q = q.add(8);
        }
        return step;
    }
    let levels = f32x4_splat(MOST_LEVELS as f32);
    while factors < x {
        let four = nearest_steps(load(factors), steps, levels);
        v128_store64_lane::<0>(i16x8_narrow_i32x4(four, four), q.cast());
        factors = factors.add(4);
        q = q.add(4);
    }
    step
}

/// Sixteen columns of a block, two rows at a time.
unsafe fn add_columns(y: *mut f32, mut rows: *const i8, mut q: *const i16, step: f32, size: usize, K: usize) {
    let mut sums = [i32x4_splat(0); 4];
    let mut apart = K;
    let mut end = q.wrapping_add(size & !1);
    let last = q.wrapping_add((size + 1) & !1);
    loop {
        while q < end {
            let pair = splat_at(q);
            for half in 0..2 {
                let a = load_eight(rows.add(8 * half));
                let b = load_eight(rows.wrapping_add(apart).add(8 * half));
                sums[2 * half] = multiply_pairs(sums[2 * half], pair, lower_pairs(a, b));
                sums[2 * half + 1] = multiply_pairs(sums[2 * half + 1], pair, upper_pairs(a, b));
            }
            q = q.add(2);
            rows = rows.wrapping_add(2 * apart);
        }
        if q == last {
            break;
        }
        // A last row is its own second, 0 times.
        apart = 0;
        end = last;
    }
    add_sums(y, f32x4_splat(step), sums);
}

/// Adds sixteen sums of whole numbers, in steps, to y.
#[inline(always)]
pub unsafe fn add_sums(y: *mut f32, steps: v128, sums: [v128; 4]) {
    for part in 0..4 {
        let to = y.add(4 * part);
        store(to, f32x4_add(load(to), f32x4_mul(steps, f32x4_convert_i32x4(sums[part]))));
    }
}

unsafe fn add_column(y: *mut f32, rows: *const i8, q: *const i16, step: f32, size: usize, K: usize) {
    let mut sum = 0;
    for s in 0..size {
        sum += i32::from(*q.wrapping_add(s)) * i32::from(*rows.wrapping_add(s * K));
    }
    *y += step * sum as f32;
}
