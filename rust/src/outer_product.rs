//! C[m, n] += sum over k of A[m, k] * B[k, n], sequential in k, starting from what C holds: the matrix product behind
//! linear_input_major (m tokens, k inputs) and linear_backward_weight (m rows, k tokens).
//!
//! Tiles of sums, eight columns wide, stay in registers while k runs. Both operands are first packed into panels that the
//! inner loop reads straight through: a panel of A stays in a first-level cache while it meets every panel of a block of
//! B, which stays in a second-level cache while it meets every panel of A. Between blocks of k the sums rest in C:
//! rounding is the same, since they are float32 in registers too. Edge tiles run at full size on a scratch tile; what lies
//! outside C is dropped.
//!
//! B may be stored in any way. int8 is multiplied in integers, two terms at a time: C is i32, and A has rows of int16, in
//! pairs (the last one with 0 if there is an odd number of terms), which stand in a row of their own: only B has a list.
use crate::float32::{load, madd, splat_at, store};
use crate::int16_pairs::{load_eight, lower_pairs, multiply_pairs, upper_pairs};
use crate::scratch::{edge_tile, packed_left, packed_right};
use crate::storage::Stored;
use crate::units::{unit_at, List};
use core::arch::wasm32::*;
use core::ptr::null;

/// Rows of a short tile, and of a tall one of fused products.
const SHORT: usize = 4;
const TALLEST: usize = 6;
/// Columns of a tile.
const WIDTH: usize = 8;

/// At most this many terms at a time: a panel of A is 12 KiB then.
const DEEPEST: usize = 512;
/// A packed block of A, and one of B: this many numbers at most.
const BLOCK_A: usize = 524288;
const BLOCK_B: usize = 65536;
/// At most this many columns at a time.
const WIDEST: usize = 1024;
/// Numbers between two panels of B, so that they do not fall into the same places of a first-level cache.
const GAP: usize = 16;

/// C: row m stands at `unit_at(list, m) * width`.
#[derive(Clone, Copy)]
pub struct Matrix {
    pub at: *mut f32,
    pub list: List,
    pub width: usize,
}

/// A: element (m, k) stands at `m * by_row + k * by_term`, m and k as the lists of C and of B say; int8: pair (m, k) at
/// `m * by_row + k`.
#[derive(Clone, Copy)]
pub struct Left {
    pub at: *const f32,
    pub by_row: usize,
    pub by_term: usize,
}

/// B: row k stands at `unit_at(list, k) * width`.
#[derive(Clone, Copy)]
pub struct Right<W> {
    pub at: *const W,
    pub list: List,
    pub width: usize,
}

/// What is multiplied: float32 in any storage, or int8.
pub trait Term: Copy {
    /// Terms that are multiplied and added as one.
    const TOGETHER: usize;
    /// Rows of a tall tile: its sums, two columns and a factor fit the 15 registers engines have on x86, and a product
    /// unless it is fused.
    const TALL: usize;

    /// sums + factor * b.
    fn accumulate(sums: v128, factor: v128, b: v128) -> v128;

    /// Packs columns n.. of terms k.. of B, of which there are K, as [panel][k][column].
    unsafe fn pack(b: Right<Self>, n: usize, k: usize, n_size: usize, k_size: usize, K: usize);
}

impl<W: Stored> Term for W {
    const TOGETHER: usize = 1;
    const TALL: usize = if cfg!(target_feature = "relaxed-simd") { TALLEST } else { 5 };

    #[inline(always)]
    fn accumulate(sums: v128, factor: v128, b: v128) -> v128 {
        madd(sums, factor, b)
    }

    #[inline(always)]
    unsafe fn pack(b: Right<W>, n: usize, k: usize, n_size: usize, k_size: usize, _K: usize) {
        pack_numbers(b.at, b.list, b.width, n, k, n_size, k_size);
    }
}

impl Term for i8 {
    const TOGETHER: usize = 2;
    const TALL: usize = 5;

    #[inline(always)]
    fn accumulate(sums: v128, factor: v128, b: v128) -> v128 {
        multiply_pairs(sums, factor, b)
    }

    #[inline(always)]
    unsafe fn pack(b: Right<i8>, n: usize, k: usize, n_size: usize, k_size: usize, K: usize) {
        pack_pairs(b.at, b.list, b.width, n, k, n_size, k_size, K);
    }
}

/// C += A B of M rows, N columns and K terms.
#[inline(always)]
pub unsafe fn add_outer_products<W: Term>(c: Matrix, a: Left, b: Right<W>, M: usize, N: usize, K: usize) {
    let terms = K.div_ceil(W::TOGETHER);
    let k_block = evenly(terms, DEEPEST);
    let m_block = BLOCK_A / k_block - TALLEST;
    let n_block = WIDEST.min(BLOCK_B / k_block) & !(WIDTH - 1);
    let k_list = if W::TOGETHER == 1 { b.list } else { null() };
    let mut m = 0;
    while m < M {
        let m_size = m_block.min(M - m);
        let mut k = 0;
        while k < terms {
            let k_size = k_block.min(terms - k);
            pack_a::<W>(a.at, a.by_row, a.by_term, c.list, k_list, m, k, m_size, k_size);
            let mut n = 0;
            while n < N {
                let n_size = n_block.min(N - n);
                W::pack(b, n, k, n_size, k_size, K);
                multiply_block::<W>(c.at, c.width, c.list, m, n, m_size, n_size, k_size);
                n += n_block;
            }
            k += k_block;
        }
        m += m_block;
    }
}

/// The size of blocks of at most `most` that cut `count` into pieces of nearly one size.
fn evenly(count: usize, most: usize) -> usize {
    let blocks = count.div_ceil(most).max(1);
    count.div_ceil(blocks).max(1)
}

/// The rows of the next tile where `left` are left: short ones first, until tall ones fit.
fn height_of<W: Term>(left: usize) -> usize {
    let even = if W::TALL == TALLEST { left % 2 } else { 0 };
    if (left + even) % W::TALL == 0 {
        W::TALL
    } else {
        SHORT
    }
}

/// Packs rows m.. of A as [tile][k][row]; rows past the end repeat the last one and are dropped later.
#[inline(never)]
unsafe fn pack_a<W: Term>(
    a: *const f32,
    by_row: usize,
    by_term: usize,
    m_list: List,
    k_list: List,
    m: usize,
    k: usize,
    m_size: usize,
    k_size: usize,
) {
    // Bits are moved, whatever they stand for.
    let mut to = packed_left().cast::<u32>();
    let mut tile = 0;
    while tile < m_size {
        let height = height_of::<W>(m_size - tile);
        let rows = [0, 1, 2, 3, 4, 5].map(|i| {
            let row = unit_at(m_list, m + (tile + i).min(m_size - 1));
            a.wrapping_add(row * by_row).cast::<u32>()
        });
        for j in 0..k_size {
            let at = unit_at(k_list, k + j) * by_term;
            for i in 0..TALLEST {
                if i < height {
                    *to.add(i) = *rows[i].wrapping_add(at);
                }
            }
            to = to.wrapping_add(height);
        }
        tile += height;
    }
}

/// Numbers from one panel of B to the next.
fn panel_of(k_size: usize) -> usize {
    k_size * WIDTH + GAP
}

/// Columns past the end are left as they are and dropped later.
#[inline(never)]
unsafe fn pack_numbers<W: Stored>(
    b: *const W,
    k_list: List,
    width: usize,
    n: usize,
    k: usize,
    n_size: usize,
    k_size: usize,
) {
    let panel = panel_of(k_size);
    let whole = n_size & !(WIDTH - 1);
    let fours = k_size & !3;
    let row_of = |j: usize| b.wrapping_add(unit_at(k_list, k + j) * width + n);
    // Four rows at a time: lines of the panels are written whole.
    for j in (0..fours).step_by(4) {
        let mut rows = [0, 1, 2, 3].map(|i| row_of(j + i));
        let end = rows[0].wrapping_add(whole);
        let mut to = packed_right().wrapping_add(j * WIDTH);
        while rows[0] < end {
            for i in 0..4 {
                store(to.add(WIDTH * i), W::in_units(W::quad(rows[i], 0)));
                store(to.add(WIDTH * i + 4), W::in_units(W::quad(rows[i], 1)));
            }
            rows = rows.map(|row| row.add(WIDTH));
            to = to.wrapping_add(panel);
        }
    }
    for j in 0..k_size {
        let row = row_of(j);
        let to = packed_right().wrapping_add(j * WIDTH);
        for column in if j < fours { whole } else { 0 }..n_size {
            let place = column / WIDTH * panel + column % WIDTH;
            *to.wrapping_add(place) = W::one(row.wrapping_add(column));
        }
    }
}

/// Pairs of rows of int8 as [panel][k][column][pair]. A row that has no other is paired with itself.
#[inline(never)]
unsafe fn pack_pairs(
    b: *const i8,
    k_list: List,
    width: usize,
    n: usize,
    k: usize,
    n_size: usize,
    k_size: usize,
    K: usize,
) {
    let panel = panel_of(k_size);
    for j in 0..k_size {
        let first = 2 * (k + j);
        let row_of = |k: usize| b.wrapping_add(unit_at(k_list, k) * width + n);
        let (mut row0, mut row1) = (row_of(first), row_of((first + 1).min(K - 1)));
        let mut to = packed_right().wrapping_add(j * WIDTH);
        let mut left = n_size;
        while left >= WIDTH {
            let (eight0, eight1) = (load_eight(row0), load_eight(row1));
            store(to, lower_pairs(eight0, eight1));
            store(to.add(4), upper_pairs(eight0, eight1));
            row0 = row0.add(WIDTH);
            row1 = row1.add(WIDTH);
            to = to.wrapping_add(panel);
            left -= WIDTH;
        }
        let to = to.cast::<i16>();
        for column in 0..left {
            *to.wrapping_add(2 * column) = i16::from(*row0.wrapping_add(column));
            *to.wrapping_add(2 * column + 1) = i16::from(*row1.wrapping_add(column));
        }
    }
}

/// All tiles of the packed block of A by the packed block of B.
#[inline(never)]
unsafe fn multiply_block<W: Term>(
    c: *mut f32,
    c_width: usize,
    m_list: List,
    m: usize,
    n: usize,
    m_size: usize,
    n_size: usize,
    k_size: usize,
) {
    let mut left = packed_left().cast_const();
    let mut tile = 0;
    while tile < m_size {
        let height = height_of::<W>(m_size - tile);
        let rows = height.min(m_size - tile);
        let row_of = |i: usize| {
            let row = unit_at(m_list, m + (tile + i).min(m_size - 1));
            c.wrapping_add(row * c_width + n)
        };
        let mut to = [0, 1, 2, 3, 4, 5].map(row_of);
        let mut right = packed_right().cast_const();
        for column in (0..n_size).step_by(WIDTH) {
            let columns = WIDTH.min(n_size - column);
            if columns == WIDTH && rows == height {
                multiply_tile::<W>(left, right, k_size, to, height);
            } else {
                let edge = [0, 1, 2, 3, 4, 5].map(|i| edge_tile().wrapping_add(i * WIDTH));
                for i in 0..rows {
                    edge_tile().wrapping_add(i * WIDTH).copy_from(row_of(i).wrapping_add(column), columns);
                }
                multiply_tile::<W>(left, right, k_size, edge, height);
                for i in 0..rows {
                    row_of(i).wrapping_add(column).copy_from(edge_tile().wrapping_add(i * WIDTH), columns);
                }
            }
            to = to.map(|row| row.wrapping_add(WIDTH));
            right = right.wrapping_add(panel_of(k_size));
        }
        left = left.wrapping_add(k_size * height);
        tile += height;
    }
}

/// A tile of the given height, over one block of k.
#[inline(always)]
unsafe fn multiply_tile<W: Term>(
    a: *const f32,
    b: *const f32,
    k_size: usize,
    rows: [*mut f32; TALLEST],
    height: usize,
) {
    let [row0, row1, row2, row3, row4, _] = rows;
    if height == SHORT {
        walk::<W, SHORT>(a, b, k_size, [row0, row1, row2, row3]);
    } else if W::TALL == TALLEST {
        walk::<W, TALLEST>(a, b, k_size, rows);
    } else {
        walk::<W, 5>(a, b, k_size, [row0, row1, row2, row3, row4]);
    }
}

/// HEIGHT rows of C by eight columns, over one block of k.
#[inline(always)]
unsafe fn walk<W: Term, const HEIGHT: usize>(
    mut a: *const f32,
    mut b: *const f32,
    k_size: usize,
    rows: [*mut f32; HEIGHT],
) {
    let mut sums = rows.map(|row| [load(row), load(row.add(4))]);
    let end = a.wrapping_add(k_size * HEIGHT);
    while a < end {
        let columns = [load(b), load(b.add(4))];
        for row in 0..HEIGHT {
            let factor = splat_at(a.add(row));
            for half in 0..2 {
                sums[row][half] = W::accumulate(sums[row][half], factor, columns[half]);
            }
        }
        a = a.add(HEIGHT);
        b = b.add(WIDTH);
    }
    for row in 0..HEIGHT {
        store(rows[row], sums[row][0]);
        store(rows[row].add(4), sums[row][1]);
    }
}
