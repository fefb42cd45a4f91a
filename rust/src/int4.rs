//! int4 numbers (src/tensor/int4.ts) and the int8 activations they are multiplied by (src/ops/int8_blocks.ts).
//!
//! Four-bit numbers are 0 to 15 and activations at most 127, so the sum of two products fits 16 bits, and so do eight such
//! sums.
use crate::elementwise::largest_size;
use crate::float32::{load, store};
use crate::quantized_steps::nearest_steps;
use crate::scratch::{nibbles, short_block};
use crate::storage::{Stored, F16};
use crate::units::clear;
use core::arch::wasm32::*;

/// Numbers of a block.
pub const BLOCK: usize = 32;
/// Bytes of a block of four rows side by side.
pub const QUAD: usize = 80;

/// The most steps that a number may be away from zero.
pub const LEVELS: f32 = 127.0;

/// Has to be called before anything else of this file.
pub unsafe fn prepare_int4() {
    F16::prepare();
    *nibbles() = i8x16_splat(15);
}

/// The lower halves of sixteen bytes. `mask` is what is at `nibbles`.
#[inline(always)]
pub fn lower_halves(x: v128, mask: v128) -> v128 {
    v128_and(x, mask)
}

/// Their upper halves.
#[inline(always)]
pub fn upper_halves(x: v128, mask: v128) -> v128 {
    v128_and(u16x8_shr(x, 4), mask)
}

/// q[2i] n[2i] + q[2i + 1] n[2i + 1] for eight pairs of bytes, as int16; each of n is 0 to 15.
#[inline(always)]
pub fn pair_sums(q: v128, n: v128) -> v128 {
    let even = i16x8_mul(i16x8_shr(i16x8_shl(q, 8), 8), u16x8_shr(i16x8_shl(n, 8), 8));
    i16x8_add(even, i16x8_mul(i16x8_shr(q, 8), u16x8_shr(n, 8)))
}

/// Four numbers of half precision, in units (storage.rs). `places` is what is at `half_places`.
#[inline(always)]
pub unsafe fn four_halves(at: *const u8, places: v128) -> v128 {
    v128_and(i32x4_shl(i32x4_load_extend_i16x4(at.cast()), 13), places)
}

/// (scale step) product + minimum sum of four outputs.
#[inline(always)]
pub fn four_terms(scales: v128, step: v128, products: v128, minima: v128, sum: v128) -> v128 {
    let scaled = f32x4_mul(f32x4_mul(scales, step), f32x4_convert_i32x4(products));
    f32x4_add(scaled, f32x4_mul(minima, sum))
}

/// Rounds a token in blocks. The last block is filled with zeros.
pub unsafe fn round_blocks(
    q: *mut i8,      // [B, 32]
    steps: *mut f32, // [B]
    sums: *mut f32,  // [B]
    x: *const f32,   // [I]
    I: usize,
) {
    for b in 0..I.div_ceil(BLOCK) {
        let i = b * BLOCK;
        let to = q.wrapping_add(i);
        let length = BLOCK.min(I - i);
        round_block(to, steps.wrapping_add(b), sums.wrapping_add(b), x.wrapping_add(i), length);
    }
}

/// Rounds at most 32 numbers; writes 32, and the step and its product with their sum. Returns the sum of their sizes.
#[inline(never)]
pub unsafe fn round_block(
    q: *mut i8,
    step: *mut f32,
    sum: *mut f32,
    mut x: *const f32,
    length: usize,
) -> i32 {
    if length < BLOCK {
        clear(short_block(), BLOCK);
        short_block().copy_from(x, length);
        x = short_block();
    }
    let unit = largest_size(x, BLOCK) / LEVELS;
    let steps = f32x4_splat(unit);
    let most = f32x4_splat(LEVELS);
    let (mut total, mut size) = (i32x4_splat(0), i32x4_splat(0));
    for half in 0..2 {
        let fours = [0, 4, 8, 12].map(|i| nearest_steps(load(x.add(16 * half + i)), steps, most));
        for four in fours {
            total = i32x4_add(total, four);
            size = i32x4_add(size, i32x4_abs(four));
        }
        let [a, b, c, d] = fours;
        store(q.add(16 * half), i8x16_narrow_i16x8(i16x8_narrow_i32x4(a, b), i16x8_narrow_i32x4(c, d)));
    }
    *step = unit;
    *sum = unit * lane_sum(total) as f32;
    lane_sum(size)
}

#[inline(always)]
fn lane_sum(x: v128) -> i32 {
    let two = i32x4_add(x, i32x4_shuffle::<2, 3, 0, 1>(x, x));
    i32x4_extract_lane::<0>(two) + i32x4_extract_lane::<1>(two)
}

/// Copies a row to the place of another, each one of four side by side.
#[inline(never)]
pub unsafe fn copy_interleaved_row(to: *mut u8, slot: usize, from: *const u8, row: usize, B: usize) {
    let to = to.wrapping_add(slot / 4 * B * QUAD);
    let from = from.wrapping_add(row / 4 * B * QUAD);
    // Scale and minimum have two bytes each in eight, the numbers four bytes each in sixteen.
    let (mut to_half, mut from_half) = (to.wrapping_add(2 * (slot % 4)), from.wrapping_add(2 * (row % 4)));
    let (mut to, mut from) = (to.wrapping_add(16 + 4 * (slot % 4)), from.wrapping_add(16 + 4 * (row % 4)));
    for _ in 0..B {
        for at in [0, 8] {
            to_half.add(at).copy_from(from_half.add(at), 2);
        }
        for at in [0, 16, 32, 48] {
            to.add(at).copy_from(from.add(at), 4);
        }
        (to_half, from_half) = (to_half.wrapping_add(QUAD), from_half.wrapping_add(QUAD));
        (to, from) = (to.wrapping_add(QUAD), from.wrapping_add(QUAD));
    }
}
