//! attention for few tokens, where memory is waited for: keys and values are read in several streams at once, which is
//! faster than in one (bench/README.md).
//!
//! The scores of a query are independent of each other, so the keys of a head are read from four places, a quarter of the
//! positions apart. Values must be added in order, so there the streams are those of four heads, two positions in turn.
use crate::cap_scores::cap_scores;
use crate::elementwise::{add_scaled, scale_array};
use crate::float32::{add_pairwise, combine_four, dot, load, madd, madd1, splat_at, store, zeros, STRIPE};
use crate::scratch::{attention_weights, head_sums, head_values, LONGEST_CONTEXT};
use crate::softmax_row::softmax_row;
use crate::units::{clear, key_head_of, unit_at, List};
use core::arch::wasm32::*;

/// Heads side by side.
pub const GROUP: usize = 4;

/// The weights of the query of head `g` of a group.
fn weights_of(g: usize) -> *mut f32 {
    attention_weights().wrapping_add(g * LONGEST_CONTEXT)
}

/// The heads at places first..first + size of the list, at most GROUP of them.
#[inline(never)]
pub unsafe fn attend_heads(
    y: *mut f32,       // [T, H, K]
    query: *const f32, // [T, H, K]
    key: *const f32,   // [G, C, K]
    value: *const f32, // [G, C, K]
    heads: List,       // list or null
    key_heads: List,   // [H] or null
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
    first: usize,
    size: usize,
) {
    for t in 0..T {
        let end = S - T + t + 1;
        let visible = W.min(end);
        for g in 0..size {
            let h = unit_at(heads, first + g);
            let here = (t * H + h) * K;
            let row = y.wrapping_add(here);
            // The scaled query stands in the output row until the weights are known.
            scale_array(row, query.wrapping_add(here), scale, K);
            let past = (key_head_of(key_heads, h, G, H) * C + end - visible) * K;
            weigh(weights_of(g), row, key.wrapping_add(past), cap, visible, K);
            clear(row, K);
            *head_values().wrapping_add(g) = value.wrapping_add(past);
            *head_sums().wrapping_add(g) = row;
        }
        add_values(size, visible, K);
    }
}

/// The weights of one scaled query over the positions that it sees.
unsafe fn weigh(weights: *mut f32, scaled: *const f32, key: *const f32, cap: f32, visible: usize, K: usize) {
    dot_rows(weights, scaled, key, visible, K);
    cap_scores(weights, cap, visible);
    softmax_row(weights, weights, visible);
}

/// y[s] = <x, matrix[s]>, s < count: rows from four places at once.
#[inline(never)]
pub unsafe fn dot_rows(y: *mut f32, x: *const f32, matrix: *const f32, count: usize, K: usize) {
    let quarter = count / 4;
    let whole = K & !(STRIPE - 1);
    for s in 0..quarter {
        let rows = [0, 1, 2, 3].map(|place| matrix.wrapping_add((s + place * quarter) * K));
        let mut four = combine_four(rows.map(|row| accumulate(x, row, whole)));
        for k in whole..K {
            let [a, b, c, d] = rows.map(|row| *row.wrapping_add(k));
            four = madd(four, splat_at(x.wrapping_add(k)), f32x4(a, b, c, d));
        }
        v128_store32_lane::<0>(four, y.wrapping_add(s).cast());
        v128_store32_lane::<1>(four, y.wrapping_add(s + quarter).cast());
        v128_store32_lane::<2>(four, y.wrapping_add(s + 2 * quarter).cast());
        v128_store32_lane::<3>(four, y.wrapping_add(s + 3 * quarter).cast());
    }
    for s in 4 * quarter..count {
        *y.wrapping_add(s) = dot(x, matrix.wrapping_add(s * K), K);
    }
}

/// The four accumulators of a striped dot over whole stripes, added pairwise.
#[inline(always)]
unsafe fn accumulate(mut a: *const f32, mut b: *const f32, length: usize) -> v128 {
    let end = a.wrapping_add(length);
    let mut acc = [zeros(); 4];
    while a < end {
        for q in 0..4 {
            acc[q] = madd(acc[q], load(a.add(4 * q)), load(b.add(4 * q)));
        }
        a = a.add(STRIPE);
        b = b.add(STRIPE);
    }
    add_pairwise(acc)
}

/// Adds the weighted values of the positions seen, of each head at `head_values`.
unsafe fn add_values(size: usize, visible: usize, K: usize) {
    let pairs = visible & !1;
    for s in (0..pairs).step_by(2) {
        for g in 0..size {
            let values = (*head_values().wrapping_add(g)).wrapping_add(s * K);
            add_two(*head_sums().wrapping_add(g), values, weights_of(g).wrapping_add(s), K);
        }
    }
    if pairs == visible {
        return;
    }
    for g in 0..size {
        let values = (*head_values().wrapping_add(g)).wrapping_add(pairs * K);
        add_scaled(*head_sums().wrapping_add(g), values, *weights_of(g).wrapping_add(pairs), K);
    }
}

/// y += factors[0] * rows[0], then factors[1] * rows[1].
unsafe fn add_two(mut y: *mut f32, mut rows: *const f32, factors: *const f32, K: usize) {
    let (factor0, factor1) = (*factors, *factors.add(1));
    let (factors0, factors1) = (f32x4_splat(factor0), f32x4_splat(factor1));
    let (whole, end) = (y.wrapping_add(K & !(STRIPE - 1)), y.wrapping_add(K));
    let mut next = rows.wrapping_add(K);
    while y < whole {
        for q in 0..4 {
            let at = y.add(4 * q);
            let sum = madd(load(at), factors0, load(rows.add(4 * q)));
            store(at, madd(sum, factors1, load(next.add(4 * q))));
        }
        y = y.add(STRIPE);
        rows = rows.add(STRIPE);
        next = next.add(STRIPE);
    }
    while y < end {
        *y = madd1(madd1(*y, factor0, *rows), factor1, *next);
        y = y.add(1);
        rows = rows.add(1);
        next = next.add(1);
    }
}
