//! attention_i8: causal self-attention of T new tokens over a cache of int8 rows, for chosen heads; +0 for the others.
//! Formulas and order: src/ops/attention_i8.ts. Many tokens: attention_i8_tile.rs.
use crate::attention_i8_tile::{attend_bytes_tiled, byte_queries_per_block, Past};
use crate::byte_rows::dot_byte_rows;
use crate::byte_values::{add_byte_values, VALUE_BLOCK};
use crate::cap_scores::cap_scores;
use crate::elementwise::{divide_array, scale_array};
use crate::float32::{largest, sum};
use crate::quantized_steps::quantize_steps;
use crate::scratch::attention_weights;
use crate::softmax_row::exponentials;
use crate::units::{chosen, clear, clear_owned, key_head_of, unit_at, List};

#[no_mangle]
pub unsafe extern "C" fn attention_i8(
    y: *mut f32,              // [T, H, K]
    query: *const f32,        // [T, H, K]
    key: *const i8,           // [G, C, K]
    key_scales: *const f32,   // [G, C]
    value: *const i8,         // [G, C, K]
    value_scales: *const f32, // [G, C]
    heads: List,              // [R] or null
    key_heads: List,          // [H] or null
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
    R: usize,
) {
    let to = chosen(heads, R, H);
    attention_i8_part(
        y,
        query,
        key,
        key_scales,
        value,
        value_scales,
        heads,
        key_heads,
        scale,
        cap,
        T,
        S,
        W,
        C,
        H,
        G,
        K,
        R,
        0,
        to,
    );
}

/// Heads from..to, or those of entries from..to of the list.
#[no_mangle]
pub unsafe extern "C" fn attention_i8_part(
    y: *mut f32,              // [T, H, K]
    query: *const f32,        // [T, H, K]
    key: *const i8,           // [G, C, K]
    key_scales: *const f32,   // [G, C]
    value: *const i8,         // [G, C, K]
    value_scales: *const f32, // [G, C]
    heads: List,              // [R] or null
    key_heads: List,          // [H] or null
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    C: usize,
    H: usize,
    G: usize,
    K: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    if !heads.is_null() {
        clear_owned(y, heads, T, H, K, R, from, to);
    }
    let block = byte_queries_per_block(T, S, W, K);
    for r in from..to {
        let h = unit_at(heads, r);
        let first = key_head_of(key_heads, h, G, H) * C;
        let past = Past {
            key: key.wrapping_add(first * K),
            key_scales: key_scales.wrapping_add(first),
            value: value.wrapping_add(first * K),
            value_scales: value_scales.wrapping_add(first),
        };
        if block > 0 {
            let (y, query) = (y.wrapping_add(h * K), query.wrapping_add(h * K));
            attend_bytes_tiled(y, query, past, scale, cap, T, S, W, H, K, block);
            continue;
        }
        for t in 0..T {
            let here = (t * H + h) * K;
            let (y, query) = (y.wrapping_add(here), query.wrapping_add(here));
            attend_bytes(y, query, past, scale, cap, S - T + t + 1, W, K);
        }
    }
}

/// One query of one head.
#[inline(always)]
unsafe fn attend_bytes(
    y: *mut f32,       // [K]
    query: *const f32, // [K]
    past: Past,
    scale: f32,
    cap: f32,
    end: usize,
    W: usize,
    K: usize,
) {
    // Blocks of values begin at multiples of 64, and the weights at that of the first one.
    let visible = W.min(end);
    let first = end - visible;
    let skipped = first % VALUE_BLOCK;
    let seen = past.from(first, K);
    let scores = attention_weights().wrapping_add(skipped);
    // The query stands in the output row, scaled and then as int16, until the weights are known.
    scale_array(y, query, scale, K);
    let steps = y.cast::<i16>();
    let step = quantize_steps(steps, y, K);
    dot_byte_rows(scores, steps, step, seen.key, seen.key_scales, visible, K);
    cap_scores(scores, cap, visible);
    exponentials(scores, scores, largest(scores, visible), visible);
    let total = sum(scores, visible);
    clear(y, K);
    let whole = past.from(first - skipped, K);
    let count = skipped + visible;
    add_byte_values(y, whole.value, attention_weights(), whole.value_scales, skipped, count, K);
    divide_array(y, total, K);
}
