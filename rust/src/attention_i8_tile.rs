//! attention_i8 for many tokens: a block of queries of one head at a time, as attention_tile.rs does it. The inner products
//! are exact integers, so their tiles need no order, and neither do the sums over a block of positions. A position that a
//! query does not see, after it or before its window, has the factor 0 among those of its block.
use crate::attention_tile::{positions_of, queries_per_block, weight_stride, MOST_QUERIES};
use crate::byte_values::{add_byte_values, add_sums, round_factors, VALUE_BLOCK};
use crate::cap_scores::cap_scores;
use crate::elementwise::{divide_array, scale_array};
use crate::float32::{largest, load, splat_at, store, sum};
use crate::int16_pairs::{load_eight, lower_pairs, multiply_pairs, sums_of_lanes, upper_pairs};
use crate::quantized_steps::quantize_steps;
use crate::scratch::{attention_rows, attention_weights, MOST_ROWS};
use crate::softmax_row::exponentials;
use crate::units::clear;
use core::arch::wasm32::*;

/// Keys and values of one head, int8 rows with a scale each.
#[derive(Clone, Copy)]
pub struct Past {
    pub key: *const i8,           // [C, K]
    pub key_scales: *const f32,   // [C]
    pub value: *const i8,         // [C, K]
    pub value_scales: *const f32, // [C]
}

impl Past {
    /// The same from a position on.
    #[inline(always)]
    pub fn from(self, position: usize, K: usize) -> Past {
        Past {
            key: self.key.wrapping_add(position * K),
            key_scales: self.key_scales.wrapping_add(position),
            value: self.value.wrapping_add(position * K),
            value_scales: self.value_scales.wrapping_add(position),
        }
    }
}

/// A tile: eight accumulators fit the registers, with six operands.
const TILE_QUERIES: usize = 2;
const TILE_KEYS: usize = 4;

/// Keys that stay in a first-level cache while all queries of a block meet them.
const BLOCK_KEYS: usize = 64;

/// How many queries a block holds; 0 where tiles do not fit.
pub fn byte_queries_per_block(T: usize, S: usize, W: usize, K: usize) -> usize {
    let block = queries_per_block(T, S, W, K);
    if block >= TILE_KEYS && K >= 16 && K % 16 == 0 {
        block
    } else {
        0
    }
}

/// One head, `block` queries at a time.
#[inline(always)]
pub unsafe fn attend_bytes_tiled(
    y: *mut f32,       // [T, H, K] from the head on
    query: *const f32, // [T, H, K] from the head on
    past: Past,
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    H: usize,
    K: usize,
    block: usize,
) {
    let weights = attention_weights();
    let apart = weight_stride(positions_of(S, W));
    let token = H * K;
    let mut t = 0;
    while t < T {
        let first = t.min(T - block);
        // Positions are counted from the block of values on that the first query's window begins in.
        let end = S - T + first + 1;
        let start = end.saturating_sub(W) & !(VALUE_BLOCK - 1);
        let shared = end - start;
        let past = past.from(start, K);
        let to = y.wrapping_add(first * token);
        quantize_queries(to, query.wrapping_add(first * token), scale, token, K, block);
        multiply_keys(weights, past, apart, K, block, shared + block - 1);
        for i in 0..block {
            let skipped = (shared + i).saturating_sub(W);
            let seen = shared + i - skipped;
            let row = weights.wrapping_add(i * apart + skipped);
            cap_scores(row, cap, seen);
            exponentials(row, row, largest(row, seen), seen);
            *totals().wrapping_add(i) = sum(row, seen);
            clear(to.wrapping_add(i * token), K);
        }
        let paired = block & !1;
        for s in (0..shared + paired - 1).step_by(VALUE_BLOCK) {
            add_block(to, weights, past, token, apart, K, paired, shared, W, s);
        }
        for i in 0..block {
            let row = to.wrapping_add(i * token);
            if i >= paired {
                let first = (shared + i).saturating_sub(W);
                let from = first & !(VALUE_BLOCK - 1);
                let factors = weights.wrapping_add(i * apart + from);
                let past = past.from(from, K);
                let count = shared + i - from;
                add_byte_values(row, past.value, factors, past.value_scales, first - from, count, K);
            }
            divide_array(row, *totals().wrapping_add(i), K);
        }
        t += block;
    }
}

/// Queries of the block as int16, [block, K].
fn queries() -> *mut i16 {
    attention_rows().cast()
}

/// Their steps, [block], and then those of their factors: behind the queries, which fill half of their scratch at most.
fn steps() -> *mut f32 {
    attention_rows().wrapping_add(MOST_ROWS / 2)
}

/// The sums of their exponentials, [block].
fn totals() -> *mut f32 {
    steps().wrapping_add(MOST_QUERIES)
}

/// After the scores, where the queries were: sixteen columns of a block of values in pairs of rows, [32, 16, 2].
fn pairs() -> *mut i16 {
    attention_rows().cast()
}

/// And behind them the factors of the block, [block, 64].
fn factors() -> *mut i16 {
    pairs().wrapping_add(VALUE_BLOCK * 16)
}

unsafe fn quantize_queries(y: *mut f32, query: *const f32, scale: f32, token: usize, K: usize, block: usize) {
    for i in 0..block {
        // The scaled query stands in the output row on its way.
        let row = y.wrapping_add(i * token);
        scale_array(row, query.wrapping_add(i * token), scale, K);
        *steps().wrapping_add(i) = quantize_steps(queries().wrapping_add(i * K), row, K);
    }
}

/// The scores of all queries of the block over `width` positions.
#[inline(always)]
unsafe fn multiply_keys(
    scores: *mut f32, // [block, apart]
    past: Past,       // [width]
    apart: usize,
    K: usize,
    block: usize,
    width: usize,
) {
    for panel in (0..width).step_by(BLOCK_KEYS) {
        let end = (panel + BLOCK_KEYS).min(width);
        for i in (0..block).step_by(TILE_QUERIES) {
            let i0 = i.min(block - TILE_QUERIES);
            for s in (panel..end).step_by(TILE_KEYS) {
                // At the end a tile is moved back to overlap its neighbour.
                let s0 = s.min(width - TILE_KEYS);
                let to = scores.wrapping_add(i0 * apart + s0);
                multiply_tile(
                    to,
                    apart,
                    i0,
                    past.key.wrapping_add(s0 * K),
                    past.key_scales.wrapping_add(s0),
                    K,
                );
            }
        }
    }
}

/// The scores of queries i and i + 1 over four positions.
unsafe fn multiply_tile(
    to: *mut f32,
    apart: usize,
    i: usize,
    mut rows: *const i8,
    scales: *const f32,
    K: usize,
) {
    let mut q = queries().wrapping_add(i * K).cast_const();
    let mut sums = [[i32x4_splat(0); TILE_KEYS]; TILE_QUERIES];
    let end = rows.wrapping_add(K);
    while rows < end {
        let four = [load(q), load(q.wrapping_add(K))];
        for row in 0..TILE_KEYS {
            let key = load_eight(rows.wrapping_add(row * K));
            for query in 0..TILE_QUERIES {
                sums[query][row] = multiply_pairs(sums[query][row], four[query], key);
            }
        }
        rows = rows.add(8);
        q = q.add(8);
    }
    let key_scales = load(scales);
    for query in 0..TILE_QUERIES {
        let factors = f32x4_mul(splat_at(steps().wrapping_add(i + query)), key_scales);
        let [a, b, c, d] = sums[query];
        let scores = f32x4_mul(factors, f32x4_convert_i32x4(sums_of_lanes(a, b, c, d)));
        store(to.wrapping_add(query * apart), scores);
    }
}

/// Adds the weighted values of the positions from `first` on that are a block.
#[inline(always)]
unsafe fn add_block(
    y: *mut f32,
    weights: *mut f32, // [block, apart]
    past: Past,        // [shared + block - 1]
    token: usize,
    apart: usize,
    K: usize,
    block: usize, // even
    shared: usize,
    W: usize,
    first: usize,
) {
    let size = VALUE_BLOCK.min(shared + block - 1 - first);
    for i in 0..block {
        let q = factors().wrapping_add(i * VALUE_BLOCK);
        let seen = size.min((shared + i).saturating_sub(first));
        let skipped = seen.min((shared + i).saturating_sub(W).saturating_sub(first));
        let row = weights.wrapping_add(i * apart + first);
        let scales = past.value_scales.wrapping_add(first);
        *steps().wrapping_add(i) = round_factors(q, row, scales, skipped, seen);
        clear(q.wrapping_add(seen), VALUE_BLOCK - seen);
    }
    let value = past.value.wrapping_add(first * K);
    for k in (0..K).step_by(16) {
        pair_rows(value.wrapping_add(k), size, K);
        for i in (0..block).step_by(2) {
            add_tile(y.wrapping_add(i * token + k), token, i, size);
        }
    }
}

/// Sixteen columns of a block in pairs of rows; a last row without a second is its own.
unsafe fn pair_rows(rows: *const i8, size: usize, K: usize) {
    let mut to = pairs();
    for s in (0..size).step_by(2) {
        let row = rows.wrapping_add(s * K);
        let next = if s + 1 < size { row.wrapping_add(K) } else { row };
        for half in 0..2 {
            let (a, b) = (load_eight(row.add(8 * half)), load_eight(next.add(8 * half)));
            store(to.add(16 * half), lower_pairs(a, b));
            store(to.add(16 * half + 8), upper_pairs(a, b));
        }
        to = to.add(32);
    }
}

/// Sixteen columns of queries i and i + 1.
unsafe fn add_tile(y: *mut f32, token: usize, i: usize, size: usize) {
    let mut q = factors().wrapping_add(i * VALUE_BLOCK).cast_const();
    let mut from = pairs().cast_const();
    let end = q.wrapping_add((size + 1) & !1);
    let mut sums = [[i32x4_splat(0); 4]; 2];
    while q < end {
        let pair = [splat_at(q), splat_at(q.add(VALUE_BLOCK))];
        for part in 0..4 {
            let values = load(from.add(8 * part));
            for query in 0..2 {
                sums[query][part] = multiply_pairs(sums[query][part], pair[query], values);
            }
        }
        q = q.add(2);
        from = from.add(32);
    }
    add_sums(y, splat_at(steps().wrapping_add(i)), sums[0]);
    add_sums(y.wrapping_add(token), splat_at(steps().wrapping_add(i + 1)), sums[1]);
}
