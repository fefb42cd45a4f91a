//! attention for many tokens, where arithmetic is waited for: a block of queries of one head at a time, its scores and its
//! sums by the tiles of the matrix products (linear_tile.rs, outer_product.rs), which give the bits of one query alone.
//!
//! The positions that all queries of a block see are multiplied as one matrix; what an earlier query sees before them, where a
//! window slides, and a later one after them is added row by row. Scores of positions a query does not see are computed, to fill
//! the tiles, and never looked at.
use crate::cap_scores::cap_scores;
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

/// How many queries a block holds: no more than a window, so that there are positions that all of them see.
pub fn queries_per_block(T: usize, S: usize, W: usize, K: usize) -> usize {
    let room = (MOST_WEIGHTS / weight_stride(positions_of(S, W)).max(1)).min(MOST_ROWS / K.max(1));
    T.min(W).min(MOST_QUERIES).min(room)
}

/// The most positions that the queries of a block see, and those before them in a block of 64.
pub fn positions_of(S: usize, W: usize) -> usize {
    if W < S {
        S.min(W + MOST_QUERIES + 63)
    } else {
        S
    }
}

/// From one query's weights to the next: an odd number of lines, so that they do not all fall into the same cache sets.
pub fn weight_stride(width: usize) -> usize {
    (width.div_ceil(16) | 1) * 16
}

/// Whether `attend_tiled` takes blocks of this shape.
pub fn is_attention_tiled(block: usize, S: usize, W: usize, K: usize) -> bool {
    is_tiled(block, K, S.min(W))
}

/// One head, `block` queries at a time.
#[inline(never)]
pub unsafe fn attend_tiled(
    y: *mut f32,       // [T, H, K] from the head on
    query: *const f32, // [T, H, K] from the head on
    key: *const f32,   // [C, K]
    value: *const f32, // [C, K]
    scale: f32,
    cap: f32,
    T: usize,
    S: usize,
    W: usize,
    H: usize,
    K: usize,
    block: usize,
) {
    let (scaled, weights) = (attention_rows(), attention_weights());
    let apart = weight_stride(positions_of(S, W));
    let token = H * K;
    let mut t = 0;
    while t < T {
        let first = t.min(T - block);
        // The positions that the first query sees, and those that all of them do.
        let end = S - T + first + 1;
        let begin = end.saturating_sub(W);
        let all = (end + block - 1).saturating_sub(W);
        let to = y.wrapping_add(first * token);
        for i in 0..block {
            scale_array(scaled.wrapping_add(i * K), query.wrapping_add((first + i) * token), scale, K);
        }
        let keys = key.wrapping_add(begin * K);
        linear_tiled(weights, scaled, keys, null(), null(), block, apart, K, end + block - 1 - begin);
        for i in 0..block {
            let own = (end + i).saturating_sub(W);
            let row = weights.wrapping_add(i * apart + own - begin);
            cap_scores(row, cap, end + i - own);
            softmax_row(row, row, end + i - own);
            let to = to.wrapping_add(i * token);
            clear(to, K);
            if own < all {
                add_rows(to, value.wrapping_add(own * K), row, null(), 1, K, K, all - own, all - own);
            }
        }
        add_outer_products(
            Matrix { at: to, list: null(), width: token },
            Left { at: weights.wrapping_add(all - begin), by_row: apart, by_term: 1 },
            Right { at: value.wrapping_add(all * K), list: null(), width: K },
            block,
            K,
            end - all,
        );
        let rest = value.wrapping_add(end * K);
        for i in 1..block {
            let later = weights.wrapping_add(i * apart + end - begin);
            add_rows(to.wrapping_add(i * token), rest, later, null(), 1, K, K, i, i);
        }
        t += block;
    }
}
