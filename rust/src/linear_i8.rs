//! linear_i8: y[t, o] = (step[t] scales[o]) <q[t], weight[o]> + bias[o] for chosen rows o, +0 for the others.
//!
//! The inner products are exact, so rows and tokens are taken as it suits the machine: four rows at a time, from four
//! places of the matrix a quarter of the way apart (bench/README.md), for one token or for two. At the ends some rows and
//! tokens are computed twice.
use crate::float32::{load, splat_at, zeros};
use crate::int16_pairs::{load_eight, multiply_pairs, sums_of_lanes};
use crate::quantized_steps::quantize_steps;
use crate::scratch::{quantized, token_steps};
use crate::units::{chosen, clear_owned, part_of, unit_at, List};
use core::arch::wasm32::*;

/// Rounded tokens that stay in a second-level cache, in numbers: more tokens mean fewer readings of the weights.
const BLOCK: usize = 131072;
/// At most this many tokens, and an even number of them.
const MOST_TOKENS: usize = 64;

#[no_mangle]
pub unsafe extern "C" fn linear_i8(
    y: *mut f32,        // [T, O]
    x: *const f32,      // [T, I]
    weight: *const i8,  // [O, I]
    scales: *const f32, // [O]
    bias: *const f32,   // [O] or null
    rows: List,         // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
) {
    linear_i8_part(y, x, weight, scales, bias, rows, T, O, I, R, 0, chosen(rows, R, O));
}

/// What rows from..to of the matrix give, or entries from..to of the list.
#[no_mangle]
pub unsafe extern "C" fn linear_i8_part(
    mut y: *mut f32,        // [T, O]
    x: *const f32,          // [T, I]
    mut weight: *const i8,  // [O, I]
    mut scales: *const f32, // [O]
    mut bias: *const f32,   // [O] or null
    rows: List,             // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    let count = to - from;
    if rows.is_null() {
        y = y.wrapping_add(from);
        weight = weight.wrapping_add(from * I);
        scales = scales.wrapping_add(from);
        bias = part_of(bias, from);
    } else {
        clear_owned(y, rows, T, O, 1, R, from, to);
    }
    if count == 0 {
        return;
    }
    let matrix = Rows { weight, scales, bias, list: part_of(rows, from), count, I };
    let block = MOST_TOKENS.min((BLOCK / I.max(1)) & !1);
    let mut first = 0;
    while first < T {
        let tokens = block.min(T - first);
        for t in 0..tokens {
            let row = x.wrapping_add((first + t) * I);
            *token_steps().wrapping_add(t) = quantize_steps(steps_at(t, I), row, I);
        }
        multiply_block(y.wrapping_add(first * O), matrix, tokens, O);
        first += block;
    }
}

/// The rounded numbers of a token of the block: [I].
fn steps_at(t: usize, I: usize) -> *mut i16 {
    quantized().wrapping_add(t * I)
}

/// The chosen rows of a matrix.
#[derive(Clone, Copy)]
struct Rows {
    weight: *const i8,  // [O, I]
    scales: *const f32, // [O]
    bias: *const f32,   // [O] or null
    list: List,         // [count] or null
    count: usize,
    I: usize,
}

unsafe fn multiply_block(
    y: *mut f32, // [tokens, O]
    matrix: Rows,
    tokens: usize,
    O: usize,
) {
    let Rows { weight, scales, bias, list, count, I } = matrix;
    let quarter = count.div_ceil(4);
    for r in 0..quarter {
        let places = [0, 1, 2, 3].map(|place| unit_at(list, (r + place * quarter).min(count - 1)));
        let weights = places.map(|o| weight.wrapping_add(o * I));
        let four = gather(scales, places);
        let biases = if bias.is_null() { zeros() } else { gather(bias, places) };
        let finish = |t: usize, sums: v128| {
            let factors = f32x4_mul(splat_at(token_steps().wrapping_add(t)), four);
            let numbers = f32x4_add(f32x4_mul(factors, f32x4_convert_i32x4(sums)), biases);
            scatter(y.wrapping_add(t * O), numbers, places);
        };
        if tokens == 1 {
            let [sums] = dot_four([quantized()], weights, I);
            finish(0, sums);
            continue;
        }
        for t in (0..tokens).step_by(2) {
            let t = t.min(tokens - 2);
            let [first, second] = dot_four([steps_at(t, I), steps_at(t + 1, I)], weights, I);
            finish(t, first);
            finish(t + 1, second);
        }
    }
}

/// Four sums for each of N tokens: of its steps times each of four rows.
#[inline(always)]
unsafe fn dot_four<const N: usize>(mut q: [*mut i16; N], mut w: [*const i8; 4], I: usize) -> [v128; N] {
    let whole = q[0].wrapping_add(I & !15);
    let mut sums = [[i32x4_splat(0); 4]; N];
    while q[0] < whole {
        for half in 0..2 {
            let eights = q.map(|q| load(q.add(8 * half)));
            for row in 0..4 {
                let weights = load_eight(w[row].add(8 * half));
                for token in 0..N {
                    sums[token][row] = multiply_pairs(sums[token][row], eights[token], weights);
                }
            }
        }
        q = q.map(|q| q.add(16));
        w = w.map(|w| w.add(16));
    }
    let mut totals = sums.map(|[a, b, c, d]| sums_of_lanes(a, b, c, d));
    for i in 0..I % 16 {
        let [a, b, c, d] = w.map(|w| i32::from(*w.wrapping_add(i)));
        for token in 0..N {
            let step = i32x4_splat(i32::from(*q[token].wrapping_add(i)));
            totals[token] = i32x4_add(totals[token], i32x4_mul(i32x4(a, b, c, d), step));
        }
    }
    totals
}

/// One number of each of four rows.
unsafe fn gather(numbers: *const f32, places: [usize; 4]) -> v128 {
    let [a, b, c, d] = places.map(|o| *numbers.wrapping_add(o));
    f32x4(a, b, c, d)
}

/// Four numbers of four rows of y.
unsafe fn scatter(y: *mut f32, numbers: v128, places: [usize; 4]) {
    let [a, b, c, d] = places.map(|o| y.wrapping_add(o).cast::<u32>());
    v128_store32_lane::<0>(numbers, a);
    v128_store32_lane::<1>(numbers, b);
    v128_store32_lane::<2>(numbers, c);
    v128_store32_lane::<3>(numbers, d);
}
