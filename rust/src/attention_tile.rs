//! attention for many tokens, where arithmetic is waited for: a block of queries of one head at a time, its scores and its
//! sums by the tiles of the matrix products (linear_tile.rs, outer_product.rs), which give the bits of one query alone.
//!
//! The positions that all queries of a block see are multiplied as one matrix; what a later query sees besides is added
//! row by row. Scores of positions a query does not see are computed, to fill the tiles, and never looked at.
use crate::elementwise::scale_array;
use crate::linear_tile::{is_tiled, linear_tiled};
use crate::outer_product::{add_outer_products, Left, Matrix, Right};
use crate::scratch::{attention_rows, attention_weights, MOST_ROWS, MOST_WEIGHTS};
use crate::softmax_row::softmax_row;
use crate::units::clear;
use crate::weighted_rows::add_rows;
use core::ptr::null;

/// Queries of a block, at most.
pub const MOST_QUERIES: usize = 32;

/// How many queries a block holds.
pub fn queries_per_block(T: usize, S: usize, K: usize) -> usize {
    let room = (MOST_WEIGHTS / weight_stride(S).max(1)).min(MOST_ROWS / K.max(1));
    T.min(MOST_QUERIES).min(room)
}

/// From one query's weights to the next: an odd number of lines, so that they do not all fall into the same cache sets.
pub fn weight_stride(width: usize) -> usize {
    (width.div_ceil(16) | 1) * 16
}

/// Whether `attend_tiled` takes blocks of this shape.
pub fn is_attention_tiled(block: usize, S: usize, K: usize) -> bool {
    is_tiled(block, K, S)
}

/// One head, `block` queries at a time.
#[inline(never)]
pub unsafe fn attend_tiled(
    y: *mut f32,       // [T, H, K] from the head on
    query: *const f32, // [T, H, K] from the head on
    key: *const f32,   // [C, K]
    value: *const f32, // [C, K]
    scale: f32,
    T: usize,
    S: usize,
    H: usize,
    K: usize,
    block: usize,
) {
    let (scaled, weights) = (attention_rows(), attention_weights());
    let apart = weight_stride(S);
    let token = H * K;
    let mut t = 0;
    while t < T {
        let first = t.min(T - block);
        let shared = S - T + first + 1;
        let to = y.wrapping_add(first * token);
        for i in 0..block {
            scale_array(scaled.wrapping_add(i * K), query.wrapping_add((first + i) * token), scale, K);
        }
        linear_tiled(weights, scaled, key, null(), null(), block, apart, K, shared + block - 1);
        for i in 0..block {
            let row = weights.wrapping_add(i * apart);
            softmax_row(row, row, shared + i);
            clear(to.wrapping_add(i * token), K);
        }
        add_outer_products(
            Matrix { at: to, list: null(), width: token },
            Left { at: weights, by_row: apart, by_term: 1 },
            Right { at: value, list: null(), width: K },
            block,
            K,
            shared,
        );
        let rest = value.wrapping_add(shared * K);
        for i in 1..block {
            let later = weights.wrapping_add(i * apart + shared);
            add_rows(to.wrapping_add(i * token), rest, later, null(), 1, K, K, i, i);
        }
        t += block;
    }
}
