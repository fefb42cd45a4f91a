//! linear_i4: y[t, o] = sum over blocks b of ((scale[o, b] step[t, b]) <q[t, b], n[o, b]> + minimum[o, b] sum[t, b]) + bias[o]
//! for chosen rows o, +0 for the others.
//!
//! Four rows lie side by side, so a register holds four bytes of each, and meets four activations that are the same for all:
//! a lane is a row, and nothing is added across lanes. One token: two fours at a time, from two places of the matrix half
//! of it apart. Several: the numbers of a block are opened once, for all tokens. Chosen rows that are no four are copied
//! together first.
use crate::elementwise::{largest_size, scale_array};
use crate::float32::{load, splat_at, store, zeros};
use crate::int4::{
    copy_interleaved_row, four_halves, four_terms, lower_halves, pair_sums, prepare_int4, round_blocks,
    upper_halves, BLOCK, QUAD,
};
use crate::scratch::{constant, gathered_rows, half_places, nibbles, packed_right, quantized, tile_sums};
use crate::storage::{Stored, F16};
use crate::units::{chosen, clear, clear_owned, part_of, unit_at, List};
use core::arch::wasm32::*;

/// Rounded numbers of the tokens that are taken together, at most.
const MOST_NUMBERS: usize = 131072;
/// At most this many tokens.
const MOST_TOKENS: usize = 64;

#[no_mangle]
pub unsafe extern "C" fn linear_i4(
    y: *mut f32,       // [T, O]
    x: *const f32,     // [T, I]
    weight: *const u8, // [G, B, 80]
    bias: *const f32,  // [O] or null
    rows: List,        // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    G: usize,
    B: usize,
) {
    linear_i4_part(y, x, weight, bias, rows, T, O, I, R, G, B, 0, chosen(rows, R, O));
}

/// What rows from..to of the matrix give, from a multiple of 4; or entries from..to of the list.
#[no_mangle]
pub unsafe extern "C" fn linear_i4_part(
    mut y: *mut f32,       // [T, O]
    x: *const f32,         // [T, I]
    mut weight: *const u8, // [G, B, 80]
    mut bias: *const f32,  // [O] or null
    rows: List,            // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    _G: usize,
    B: usize,
    from: usize,
    to: usize,
) {
    let count = to - from;
    if rows.is_null() {
        y = y.wrapping_add(from);
        weight = weight.wrapping_add(from / 4 * B * QUAD);
        bias = part_of(bias, from);
    } else {
        clear_owned(y, rows, T, O, 1, R, from, to);
    }
    if count == 0 {
        return;
    }
    prepare_int4();
    let matrix = Rows { weight, bias, list: part_of(rows, from), count, B };
    let most = (MOST_NUMBERS / (B * BLOCK).max(1)).clamp(1, MOST_TOKENS);
    let mut first = 0;
    while first < T {
        let tokens = most.min(T - first);
        for t in 0..tokens {
            let row = x.wrapping_add((first + t) * I);
            round_blocks(numbers_of(t, B), steps_of(t, B), sums_of(t, B), row, I);
        }
        let y = y.wrapping_add(first * O);
        if tokens == 1 && take_units(B) {
            multiply_one(y, matrix);
        } else {
            multiply_all(y, matrix, tokens, O);
        }
        first += most;
    }
}

/// A token's rounded numbers, [B, 32]; its steps, [B]; and its sums, [B].
fn numbers_of(t: usize, B: usize) -> *mut i8 {
    quantized().cast::<i8>().wrapping_add(t * B * BLOCK)
}

fn steps_of(t: usize, B: usize) -> *mut f32 {
    packed_right().wrapping_add(2 * t * B)
}

fn sums_of(t: usize, B: usize) -> *mut f32 {
    packed_right().wrapping_add((2 * t + 1) * B)
}

/// Takes the steps and sums of the first token in units of half precision (storage.rs), so that scales need not be taken out
/// of theirs; false, and nothing is done, where one is too large for that.
unsafe fn take_units(B: usize) -> bool {
    let steps = steps_of(0, B);
    let fits = largest_size(steps, 2 * B) * F16::UNIT < f32::INFINITY;
    if fits {
        scale_array(steps, steps, F16::UNIT, 2 * B);
    }
    fits
}

/// The chosen rows of a matrix.
#[derive(Clone, Copy)]
struct Rows {
    weight: *const u8, // [G, B, 80]
    bias: *const f32,  // [O] or null
    list: List,        // [count] or null
    count: usize,
    B: usize,
}

/// Where four rows lie side by side: entries 4 quad and on of the list, copied to a place of their own if they must be.
#[inline(always)]
unsafe fn four_rows(place: usize, matrix: Rows, quad: usize) -> *const u8 {
    let Rows { weight, list, count, B, .. } = matrix;
    let size = B * QUAD;
    if list.is_null() {
        return weight.wrapping_add(quad * size);
    }
    let r = 4 * quad;
    let first = unit_at(list, r);
    if first % 4 == 0 && r + 3 < count && unit_at(list, r + 3) == first + 3 {
        return weight.wrapping_add(first / 4 * size);
    }
    let to = gathered_rows().wrapping_add(place * size);
    for lane in 0..4 {
        copy_interleaved_row(to, lane, weight, unit_at(list, (r + lane).min(count - 1)), B);
    }
    to
}

/// Four numbers as those of entries 4 quad and on, with their biases.
#[inline(always)]
unsafe fn finish(y: *mut f32, four: v128, matrix: Rows, quad: usize) {
    let Rows { bias, list, count, .. } = matrix;
    let r = 4 * quad;
    if list.is_null() && r + 4 <= count {
        let biases = if bias.is_null() { zeros() } else { load(bias.wrapping_add(r)) };
        store(y.wrapping_add(r), f32x4_add(four, biases));
        return;
    }
    store(tile_sums(), four);
    for lane in 0..4.min(count - r) {
        let o = unit_at(list, r + lane);
        let bias = if bias.is_null() { 0.0 } else { *bias.wrapping_add(o) };
        *y.wrapping_add(o) = *tile_sums().wrapping_add(lane) + bias;
    }
}

unsafe fn multiply_one(
    y: *mut f32, // [O]
    matrix: Rows,
) {
    let quads = matrix.count.div_ceil(4);
    let half = quads.div_ceil(2);
    for quad in 0..half {
        // The last one of an odd number is computed twice.
        let other = (quad + half).min(quads - 1);
        let fours = [four_rows(0, matrix, quad), four_rows(1, matrix, other)];
        let [first, second] = dot_eight(fours, matrix.B);
        finish(y, first, matrix, quad);
        finish(y, second, matrix, other);
    }
}

/// The sums of two fours of rows, for the first token.
#[inline(always)]
unsafe fn dot_eight(mut w: [*const u8; 2], B: usize) -> [v128; 2] {
    let mask = constant(nibbles());
    let places = constant(half_places());
    let (mut q, mut step, mut sum) = (numbers_of(0, B), steps_of(0, B), sums_of(0, B));
    let mut y = [zeros(); 2];
    let end = w[0].wrapping_add(B * QUAD);
    while w[0] < end {
        let mut s = [i16x8_splat(0); 2];
        for piece in 0..4 {
            let (lower, upper) = (splat_at(q.add(4 * piece)), splat_at(q.add(16 + 4 * piece)));
            for four in 0..2 {
                let n = load(w[four].add(16 + 16 * piece));
                s[four] = i16x8_add(s[four], pair_sums(lower, lower_halves(n, mask)));
                s[four] = i16x8_add(s[four], pair_sums(upper, upper_halves(n, mask)));
            }
        }
        let (steps, sums) = (splat_at(step), splat_at(sum));
        for four in 0..2 {
            // Two int16 of each row.
            let products = i32x4_extadd_pairwise_i16x8(s[four]);
            let (scales, minima) = (four_halves(w[four], places), four_halves(w[four].add(8), places));
            y[four] = f32x4_add(y[four], four_terms(scales, steps, products, minima, sums));
        }
        q = q.add(BLOCK);
        step = step.add(1);
        sum = sum.add(1);
        w = w.map(|w| w.add(QUAD));
    }
    y
}

/// Several tokens: four rows at a time, whose numbers are opened a block at a time.
unsafe fn multiply_all(
    y: *mut f32, // [tokens, O]
    matrix: Rows,
    tokens: usize,
    O: usize,
) {
    let B = matrix.B;
    let totals = tile_sums().wrapping_add(4); // [tokens, 4]
    for quad in 0..matrix.count.div_ceil(4) {
        let w = four_rows(0, matrix, quad);
        clear(totals, 4 * tokens);
        for b in 0..B {
            add_block(totals, w.wrapping_add(b * QUAD), b, tokens, B);
        }
        for t in 0..tokens {
            finish(y.wrapping_add(t * O), load(totals.wrapping_add(4 * t)), matrix, quad);
        }
    }
}

/// Adds block b of four rows to the sums of every token.
#[inline(never)]
unsafe fn add_block(
    mut totals: *mut f32, // [tokens, 4]
    w: *const u8,         // [80]
    b: usize,
    tokens: usize,
    B: usize,
) {
    let mask = constant(nibbles());
    let places = constant(half_places());
    let scales = F16::in_units(four_halves(w, places));
    let minima = F16::in_units(four_halves(w.add(8), places));
    let pieces = [16, 32, 48, 64].map(|at| load(w.add(at)));
    let lower = pieces.map(|n| lower_halves(n, mask));
    let upper = pieces.map(|n| upper_halves(n, mask));
    let mut q = numbers_of(0, B).wrapping_add(b * BLOCK);
    let mut step = steps_of(0, B).wrapping_add(b);
    let end = totals.wrapping_add(4 * tokens);
    while totals < end {
        let mut s = i16x8_splat(0);
        for piece in 0..4 {
            s = i16x8_add(s, pair_sums(splat_at(q.add(4 * piece)), lower[piece]));
            s = i16x8_add(s, pair_sums(splat_at(q.add(16 + 4 * piece)), upper[piece]));
        }
        let products = i32x4_extadd_pairwise_i16x8(s);
        let sums = splat_at(step.wrapping_add(B));
        let terms = four_terms(scales, splat_at(step), products, minima, sums);
        store(totals, f32x4_add(load(totals), terms));
        totals = totals.add(4);
        q = q.wrapping_add(B * BLOCK);
        step = step.wrapping_add(2 * B);
    }
}
