//! linear_input_major_i4: y[t, o] = sum over blocks b of ((scale[b, o] step[t, b]) p[t, b, o] + minimum[b, o] sum[t, b]) + bias[o],
//! where p[t, b, o] = sum over chosen inputs i of block b of q[t, i] n[i, o].
//!
//! Outputs are taken a tile of 64 at a time, and inputs a block at a time, so that the sums of a tile stay in registers and
//! rows are read as they lie. Two rows are read together: their bytes interleaved are pairs, which are multiplied and added
//! as int16. Sixteen rows fit into 16 bits, and more where activations are small. One token with such activations: rows are
//! opened as they are read. Else they are opened first, once for all tokens. For one token, rows of inputs that are zero are
//! left out where these are many (nonzero.rs).
use crate::elementwise::{add_arrays, largest_size};
use crate::float32::{load, splat_at, store};
use crate::int4::{
    four_terms, lower_halves, pair_sums, prepare_int4, round_block, upper_halves, BLOCK, LEVELS,
};
use crate::nonzero::list_nonzero;
use crate::quantized_steps::nearest_steps;
use crate::scratch::{constant, edge_columns, nibbles, opened_rows, packed_left, packed_right, quantized, tile_sums};
use crate::units::{chosen, clear, unit_at, List};
use core::arch::wasm32::*;

/// Outputs of a tile, their bytes in a row, and their scales and minima in a block.
const TILE: usize = 64;
const TILE_BYTES: usize = 32;
const TILE_SCALES: usize = 128;

/// Tiles that are read in turn.
const STREAMS: usize = 2;

/// Rows whose products with activations are added in 16 bits, whatever these are.
const MOST_ROWS: usize = 16;
/// The sum of sizes of activations whose products with 4-bit numbers fit 16 bits together.
const MOST_SIZE: i32 = 2184;
/// At most this many tokens are taken together, with this many rounded numbers, and this many blocks.
const MOST_TOKENS: usize = 64;
const MOST_NUMBERS: usize = 524288;
const MOST_STEPS: usize = 49152;

// What stands in `packed_left`, in words, for up to so many inputs.
const MOST_INPUTS: usize = 49152;
const ENDS: usize = MOST_INPUTS;
const SLOTS: usize = ENDS + MOST_INPUTS + 16;
const RUN_ENDS: usize = SLOTS + 2 * MOST_INPUTS;
const RUN_BLOCKS: usize = RUN_ENDS + MOST_INPUTS;
const STEPS: usize = RUN_BLOCKS + MOST_INPUTS;

#[no_mangle]
pub unsafe extern "C" fn linear_input_major_i4(
    y: *mut f32,        // [T, O]
    x: *const f32,      // [T, I]
    weight: *const u8,  // [C, S, 32]
    scales: *const f32, // [C, B, 128]
    blocks: List,       // [I], below B
    bias: *const f32,   // [O] or null
    inputs: List,       // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    C: usize,
    S: usize,
    B: usize,
) {
    linear_input_major_i4_part(y, x, weight, scales, blocks, bias, inputs, T, O, I, R, C, S, B, 0, O);
}

/// Columns from..to of y and of the matrix; they begin at a multiple of 64.
#[no_mangle]
pub unsafe extern "C" fn linear_input_major_i4_part(
    y: *mut f32,        // [T, O]
    x: *const f32,      // [T, I]
    weight: *const u8,  // [C, S, 32]
    scales: *const f32, // [C, B, 128]
    blocks: List,       // [I], below B
    bias: *const f32,   // [O] or null
    inputs: List,       // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    _C: usize,
    S: usize,
    B: usize,
    from: usize,
    to: usize,
) {
    let (mut inputs, mut count) = (inputs, chosen(inputs, R, I));
    if T == 1 {
        let list = packed_right().cast::<usize>();
        let kept = list_nonzero(list, x, inputs, T, I, count, (to - from) / 2);
        if kept >= 0 {
            (inputs, count) = (list, kept as usize);
        }
    }
    prepare_int4();
    let mut order = inputs;
    let mut found = find_runs(blocks, order, count);
    if found.is_none() {
        order = in_block_order(blocks, inputs, count, B);
        found = find_runs(blocks, order, count);
    }
    let runs = found.unwrap_or(0);
    let slots = slots_of(runs);
    let most = (MOST_NUMBERS / slots.max(1)).min(MOST_STEPS / runs.max(1)).clamp(1, MOST_TOKENS);
    let mut first = 0;
    while first < T {
        let tokens = most.min(T - first);
        for t in 0..tokens {
            round_token(t, x.wrapping_add((first + t) * I), order, runs);
        }
        let y = y.wrapping_add(first * O);
        for t in 0..tokens {
            clear(y.wrapping_add(t * O + from), to - from);
        }
        // Tiles take turns, from places apart: two streams are read faster than one, and than three.
        let tiles = (to - from).div_ceil(TILE);
        let apart = tiles.div_ceil(STREAMS) * TILE;
        for tile in (from..from + apart).step_by(TILE) {
            for run in 0..runs {
                for o in (tile..to).step_by(apart) {
                    let width = TILE.min(to - o);
                    let rows = weight.wrapping_add(o / TILE * S * TILE_BYTES);
                    let scales = scales.wrapping_add((o / TILE * B + *run_block(run)) * TILE_SCALES);
                    add_run_to(y.wrapping_add(o), rows, scales, width, run, runs, tokens, slots, O);
                }
            }
        }
        if !bias.is_null() {
            for t in 0..tokens {
                let row = y.wrapping_add(t * O + from);
                add_arrays(row, row, bias.wrapping_add(from), to - from);
            }
        }
        first += most;
    }
}

/// Adds the terms of a run to a tile of every token: its first `width` outputs. Rows of y are `O` numbers apart.
unsafe fn add_run_to(
    y: *mut f32,
    rows: *const u8,
    scales: *const f32,
    width: usize,
    run: usize,
    runs: usize,
    tokens: usize,
    slots: usize,
    O: usize,
) {
    let slot = if run == 0 { 0 } else { *run_end(run - 1) };
    let step = step_of(0, run, runs);
    if tokens == 1 && width == TILE && *size_at(step) <= MOST_SIZE {
        add_run(y, rows, slot, *run_end(run), scales, step);
    } else {
        multiply(rows, slot, *run_end(run), tokens, slots);
        add_tile(y, scales, run, runs, tokens, width, O);
    }
}

// ---- Which inputs -------------------------------------------------------------------------------------------------

unsafe fn block_at(blocks: List, order: List, r: usize) -> usize {
    *blocks.wrapping_add(unit_at(order, r))
}

/// The chosen inputs in the order of their blocks, [count].
unsafe fn in_block_order(blocks: List, inputs: List, count: usize, B: usize) -> List {
    let block = |r: usize| block_at(blocks, inputs, r);
    let order = word_at(0); // [count]
    let ends = word_at(ENDS); // [B + 1]
    clear(ends, B + 1);
    for r in 0..count {
        *ends.wrapping_add(block(r) + 1) += 1;
    }
    for b in 1..B {
        *ends.wrapping_add(b) += *ends.wrapping_add(b - 1);
    }
    for r in 0..count {
        let place = ends.wrapping_add(block(r));
        *order.wrapping_add(*place) = unit_at(inputs, r);
        *place += 1;
    }
    order
}

fn word_at(place: usize) -> *mut usize {
    packed_left().cast::<usize>().wrapping_add(place)
}

/// The slot in which a run of inputs of one block ends, and their block.
fn run_end(run: usize) -> *mut usize {
    word_at(RUN_ENDS + run)
}

fn run_block(run: usize) -> *mut usize {
    word_at(RUN_BLOCKS + run)
}

/// Where in a tile the row of a slot stands, in bytes.
fn slot_at(slot: usize) -> *mut usize {
    word_at(SLOTS + slot)
}

/// How many slots so many runs have.
unsafe fn slots_of(runs: usize) -> usize {
    if runs == 0 {
        0
    } else {
        *run_end(runs - 1)
    }
}

/// Gives each run of inputs of one block an even number of slots, and returns how many runs there are. An input without a
/// partner has itself for one, times 0. None where the inputs are not in the order of their blocks.
unsafe fn find_runs(blocks: List, order: List, count: usize) -> Option<usize> {
    let (mut runs, mut slot, mut r, mut last) = (0, 0, 0, 0);
    while r < count {
        let b = block_at(blocks, order, r);
        if b < last {
            return None;
        }
        last = b;
        while r < count && block_at(blocks, order, r) == b {
            *slot_at(slot) = unit_at(order, r) * TILE_BYTES;
            slot += 1;
            r += 1;
        }
        if slot % 2 == 1 {
            *slot_at(slot) = *slot_at(slot - 1);
            slot += 1;
        }
        *run_end(runs) = slot;
        *run_block(runs) = b;
        runs += 1;
    }
    Some(runs)
}

// ---- Rounding -----------------------------------------------------------------------------------------------------

/// A token's rounded numbers, [slots].
fn numbers_of(t: usize, slots: usize) -> *mut i8 {
    quantized().cast::<i8>().wrapping_add(t * slots)
}

/// A token's step, its sum and the sum of its sizes for a run, [3], with room for one more.
fn step_of(t: usize, run: usize, runs: usize) -> *mut f32 {
    word_at(STEPS + 4 * (t * runs + run)).cast()
}

/// The sum of sizes beside a step.
fn size_at(step: *mut f32) -> *mut i32 {
    step.wrapping_add(2).cast()
}

/// Rounds the chosen numbers of a token, run by run.
unsafe fn round_token(t: usize, x: *const f32, order: List, runs: usize) {
    let q = numbers_of(t, slots_of(runs));
    let (mut slot, mut r) = (0, 0);
    for run in 0..runs {
        let end = *run_end(run);
        // The partner of an only input is no input.
        let partners = usize::from(*slot_at(end - 1) == *slot_at(end - 2));
        let members = end - slot - partners;
        round_chosen(q.wrapping_add(slot), step_of(t, run, runs), x, order, r, members);
        slot = end;
        r += members;
    }
}

/// Rounds the chosen numbers of a run; writes them, and what `step_of` says.
#[inline(never)]
unsafe fn round_chosen(q: *mut i8, step: *mut f32, x: *const f32, order: List, r: usize, members: usize) {
    let mut from = x.wrapping_add(r);
    if !order.is_null() {
        let to = packed_left().wrapping_add(ENDS);
        for k in 0..members {
            *to.wrapping_add(k) = *x.wrapping_add(unit_at(order, r + k));
        }
        from = to;
    }
    if members <= BLOCK {
        *size_at(step) = round_block(q, step, step.add(1), from, members);
        return;
    }
    let size = largest_size(from, members) / LEVELS;
    let (steps, most) = (f32x4_splat(size), f32x4_splat(LEVELS));
    let mut total = 0;
    for k in 0..members {
        let number = v128_load32_zero(from.wrapping_add(k).cast());
        let nearest = i32x4_extract_lane::<0>(nearest_steps(number, steps, most));
        *q.wrapping_add(k) = nearest as i8;
        total += nearest;
    }
    *q.wrapping_add(members) = 0;
    *step = size;
    *step.add(1) = size * total as f32;
    *size_at(step) = i32::MAX;
}

// ---- Products -----------------------------------------------------------------------------------------------------

/// Where a token's sums of a tile are.
fn products_of(t: usize) -> *mut i32 {
    tile_sums().cast::<i32>().wrapping_add(t * TILE)
}

/// The sums of a tile over the rows of slots, for the one token, in 16 bits: of each half of a row 32 outputs.
#[inline(always)]
unsafe fn sums_of_rows(rows: *const u8, slot: usize, end: usize) -> [[v128; 4]; 2] {
    let mask = constant(nibbles());
    let mut sums = [[i16x8_splat(0); 4]; 2];
    let mut q = numbers_of(0, 0).wrapping_add(slot);
    let (mut at, last) = (slot_at(slot), slot_at(end));
    while at < last {
        let (row, other) = (rows.wrapping_add(*at), rows.wrapping_add(*at.add(1)));
        let factors = v128_load16_splat(q.cast());
        for half in 0..2 {
            let numbers = open_pair(load(row.add(16 * half)), load(other.add(16 * half)), mask);
            for part in 0..4 {
                sums[half][part] = i16x8_add(sums[half][part], pair_sums(factors, numbers[part]));
            }
        }
        at = at.add(2);
        q = q.add(2);
    }
    sums
}

/// Adds the terms of a run to a tile of the one token, whose sums fit 16 bits.
#[inline(never)]
unsafe fn add_run(
    y: *mut f32, // [64]
    rows: *const u8,
    slot: usize,
    end: usize,
    scales: *const f32, // [128]
    step: *const f32,   // [2]
) {
    let sums = sums_of_rows(rows, slot, end);
    let (steps, totals) = (splat_at(step), splat_at(step.add(1)));
    for half in 0..2 {
        for part in 0..4 {
            let eight = sums[half][part];
            let o = 32 * half + 8 * part;
            add_four(y.add(o), scales.add(o), steps, i32x4_extend_low_i16x8(eight), totals);
            add_four(y.add(o + 4), scales.add(o + 4), steps, i32x4_extend_high_i16x8(eight), totals);
        }
    }
}

/// Adds the terms of four outputs.
#[inline(always)]
unsafe fn add_four(y: *mut f32, scales: *const f32, steps: v128, products: v128, sums: v128) {
    let terms = four_terms(load(scales), steps, products, load(scales.add(TILE)), sums);
    store(y, f32x4_add(load(y), terms));
}

/// The sums of a tile over a run of slots, for every token.
unsafe fn multiply(rows: *const u8, slot: usize, end: usize, tokens: usize, slots: usize) {
    for k in (slot..end).step_by(MOST_ROWS) {
        let (last, is_first) = (end.min(k + MOST_ROWS), k == slot);
        let pairs = (last - k) / 2;
        open_rows(rows, slot_at(k), pairs);
        for t in 0..tokens {
            let q = numbers_of(t, slots).wrapping_add(k);
            for half in 0..2 {
                let to = products_of(t).wrapping_add(32 * half);
                add_opened(to, opened_rows().wrapping_add(4 * half), q, pairs, is_first);
            }
        }
    }
}

/// Sixteen bytes of two rows as 32 pairs of numbers: the outputs of the lower halves, then those of the upper ones.
#[inline(always)]
fn open_pair(a: v128, b: v128, mask: v128) -> [v128; 4] {
    let first = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
    let last = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
    [lower_halves(first, mask), lower_halves(last, mask), upper_halves(first, mask), upper_halves(last, mask)]
}

/// 32 sums of 16 bits as such of 32 bits, or added to those.
#[inline(always)]
unsafe fn store_sums(to: *mut i32, sums: [v128; 4], is_first: bool) {
    for part in 0..4 {
        let (low, high) = (i32x4_extend_low_i16x8(sums[part]), i32x4_extend_high_i16x8(sums[part]));
        let to = to.add(8 * part);
        if is_first {
            store(to, low);
            store(to.add(4), high);
        } else {
            store(to, i32x4_add(load(to), low));
            store(to.add(4), i32x4_add(load(to.add(4)), high));
        }
    }
}

/// Opens a tile of pairs of rows: of each pair 64 outputs, two bytes each.
#[inline(never)]
unsafe fn open_rows(
    rows: *const u8,
    mut slot: *const usize, // [pairs, 2]
    pairs: usize,
) {
    let mask = constant(nibbles());
    let mut to = opened_rows();
    let end = slot.wrapping_add(2 * pairs);
    while slot < end {
        let (row, other) = (rows.wrapping_add(*slot), rows.wrapping_add(*slot.add(1)));
        for half in 0..2 {
            let numbers = open_pair(load(row.add(16 * half)), load(other.add(16 * half)), mask);
            for part in 0..4 {
                *to.add(4 * half + part) = numbers[part];
            }
        }
        to = to.add(8);
        slot = slot.add(2);
    }
}

/// The sums of half a tile over opened rows, at an address; added to those that are there unless they are the first.
#[inline(never)]
unsafe fn add_opened(
    to: *mut i32,       // [32]
    mut n: *const v128, // [pairs, 8], of which four are read
    mut q: *const i8,   // [pairs, 2]
    pairs: usize,
    is_first: bool,
) {
    let mut sums = [i16x8_splat(0); 4];
    let end = q.wrapping_add(2 * pairs);
    while q < end {
        let factors = v128_load16_splat(q.cast());
        for part in 0..4 {
            sums[part] = i16x8_add(sums[part], pair_sums(factors, load(n.add(part))));
        }
        n = n.add(8);
        q = q.add(2);
    }
    store_sums(to, sums, is_first);
}

// ---- Numbers ------------------------------------------------------------------------------------------------------

/// Adds the terms of a run to a tile of y, whose rows are `O` numbers apart: all 64 columns, or `width` at the edge.
unsafe fn add_tile(
    y: *mut f32,        // [tokens, width]
    scales: *const f32, // [128]
    run: usize,
    runs: usize,
    tokens: usize,
    width: usize,
    O: usize,
) {
    for t in 0..tokens {
        let row = y.wrapping_add(t * O);
        let step = step_of(t, run, runs);
        if width == TILE {
            add_terms(row, scales, step, products_of(t));
            continue;
        }
        // At the edge numbers go through a tile of their own, so that nothing past them is touched.
        edge_columns().copy_from(row, width);
        add_terms(edge_columns(), scales, step, products_of(t));
        row.copy_from(edge_columns(), width);
    }
}

#[inline(never)]
unsafe fn add_terms(
    mut y: *mut f32,          // [64]
    mut scales: *const f32,   // [128]
    step: *const f32,         // [2]
    mut products: *const i32, // [64]
) {
    let (steps, sums) = (splat_at(step), splat_at(step.add(1)));
    let end = products.wrapping_add(TILE);
    while products < end {
        add_four(y, scales, steps, load(products), sums);
        y = y.add(4);
        scales = scales.add(4);
        products = products.add(4);
    }
}
