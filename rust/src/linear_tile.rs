//! linear for several tokens: striped dots of several tokens by two rows at once, in registers.
//!
//! A striped dot is sixteen lanes that add independently, so it can be computed one accumulator (a group of four lanes)
//! at a time. Both operands are packed so that a group's numbers lie in the order the inner loop needs them; a tile of
//! accumulators, one per pair, then walks a group's panels together. At the end each pair's four accumulators are combined
//! as a single dot would combine them: the bits are those of `dot`.
//!
//! A tile's tokens stay in a first-level cache while they meet a block of rows, which stays in a second-level cache while
//! it meets all tokens. At the edges the last tile is moved back to overlap its neighbour, and computes those numbers
//! again.
use crate::float32::{add_pairwise, combine_four, load, madd, splat_at, store, zeros, STRIPE};
use crate::scratch::{accumulators, packed_left, packed_right, row_biases, row_tails};
use crate::storage::Stored;
use crate::units::{unit_at, List};
use core::arch::wasm32::*;

/// Tokens of a tile, by two rows: ten accumulators, three operands and a product fit the 15 registers engines have on x86.
/// Where products are fused, eight do as much arithmetic, and engines unroll the shorter loop further.
const TALL: usize = if cfg!(target_feature = "relaxed-simd") { 4 } else { 5 };
const SHORT: usize = 4;
/// Rows are packed in pairs, and finished four at a time.
const PAIR: usize = 2;
const QUAD: usize = 4;

/// From this many tokens packing costs less than it saves.
const LEAST_TOKENS: usize = 4;

/// A packed block of tokens: this many numbers at most.
const BLOCK_TOKENS: usize = 524288;
/// A packed block of rows: this many numbers at most, and this many rows.
const BLOCK_ROWS: usize = 65536;
const MOST_ROWS: usize = 48;
/// Four rows of this length are a block.
const LONGEST_ROW: usize = 16384;

/// Accumulators of a pair of rows, [token TALL][row 2], and of one group, [pair 24].
const PAIR_SIZE: usize = TALL * PAIR;
const GROUP_SIZE: usize = MOST_ROWS / PAIR * PAIR_SIZE;
/// What four rows have past their last whole stripe, [15] fours.
const TAIL_SIZE: usize = STRIPE - 1;

/// Whether `linear_tiled` takes this shape.
pub fn is_tiled(T: usize, I: usize, count: usize) -> bool {
    T >= LEAST_TOKENS && count >= QUAD && (STRIPE..=LONGEST_ROW).contains(&I)
}

/// The first `count` rows of the matrix, or of the list.
#[inline(never)]
pub unsafe fn linear_tiled<W: Stored>(
    y: *mut f32,      // [T, O]
    x: *const f32,    // [T, I]
    weight: *const W, // [O, I]
    bias: *const f32, // [O] or null
    rows: List,       // [count] or null
    T: usize,
    O: usize,
    I: usize,
    count: usize,
) {
    let t_block = (BLOCK_TOKENS / I.max(1)) & !(SHORT - 1);
    let r_block = MOST_ROWS.min((BLOCK_ROWS / I.max(1)) & !(QUAD - 1));
    let whole = I & !(STRIPE - 1);
    let mut first = 0;
    while first < T {
        let last = (first + t_block).min(T);
        pack_tokens(x, first, last, T, I);
        let mut r = 0;
        while r < count {
            let size = r_block.min(count - r);
            pack_block(weight, bias, rows, r, size, I, count);
            let mut left = packed_left();
            let mut t = first;
            while t < last {
                let height = height_of(last - t);
                let t0 = t.min(T - height);
                multiply(left, height, size, I);
                for k in 0..height {
                    let (y, x) = (y.wrapping_add((t0 + k) * O), x.wrapping_add((t0 + k) * I));
                    finish(y, x, rows, k, r, size, I, count);
                }
                left = left.wrapping_add(whole * height);
                t += height;
            }
            r += r_block;
        }
        first += t_block;
    }
}

/// The tokens of the next tile where `left` are left: short ones first, until tall ones fit.
fn height_of(left: usize) -> usize {
    if left % TALL == 0 {
        TALL
    } else {
        SHORT
    }
}

/// x as [tile][group 4][step][token] in fours.
#[inline(never)]
unsafe fn pack_tokens(x: *const f32, first: usize, last: usize, T: usize, I: usize) {
    let whole = I & !(STRIPE - 1);
    let mut tile = packed_left();
    let mut t = first;
    while t < last {
        let height = height_of(last - t);
        let t0 = t.min(T - height);
        for k in 0..height {
            let to = tile.wrapping_add(4 * k);
            spread(to, whole / 4 * height, x.wrapping_add((t0 + k) * I), whole, 4 * height);
        }
        tile = tile.wrapping_add(whole * height);
        t += height;
    }
}

/// Spreads the stripes of one token: group g of step s goes to g * group + s * width.
unsafe fn spread(to: *mut f32, group: usize, mut x: *const f32, length: usize, width: usize) {
    let end = x.wrapping_add(length);
    let mut to = [0, 1, 2, 3].map(|g| to.wrapping_add(g * group));
    while x < end {
        for g in 0..4 {
            store(to[g], load(x.add(4 * g)));
            to[g] = to[g].wrapping_add(width);
        }
        x = x.add(STRIPE);
    }
}

/// `size` rows of the weights from r on as [group 4][pair][step][row 2] in fours, their biases, and their numbers past the
/// last stripe.
#[inline(never)]
unsafe fn pack_block<W: Stored>(
    weight: *const W,
    bias: *const f32,
    rows: List,
    r: usize,
    size: usize,
    I: usize,
    count: usize,
) {
    let panel = (I & !(STRIPE - 1)) / 4 * PAIR;
    let group = panel * pairs_of(size);
    let mut to = packed_right();
    for q in (0..size).step_by(QUAD) {
        let r0 = (r + q).min(count - QUAD);
        let places = [0, 1, 2, 3].map(|place| unit_at(rows, r0 + place));
        let four = places.map(|o| weight.wrapping_add(o * I));
        pack_rows(to, group, [four[0], four[1]], I);
        pack_rows(to.wrapping_add(panel), group, [four[2], four[3]], I);
        to = to.wrapping_add(2 * panel);
        // A striped dot is never -0, so a bias of +0 changes nothing.
        let biases = if bias.is_null() { zeros() } else { gather(places.map(|o| bias.wrapping_add(o)), 0) };
        *row_biases().wrapping_add(q / QUAD) = biases;
        for i in I & !(STRIPE - 1)..I {
            *row_tails().wrapping_add(q / QUAD * TAIL_SIZE + i % STRIPE) = gather(four, i);
        }
    }
}

/// How many pairs are packed for `count` rows: whole fours.
fn pairs_of(count: usize) -> usize {
    count.div_ceil(QUAD) * 2
}

/// Two rows of the weights as [group 4][step][row 2] in fours, the groups `group` numbers apart.
unsafe fn pack_rows<W: Stored>(to: *mut f32, group: usize, mut rows: [*const W; 2], I: usize) {
    let mut to = [0, 1, 2, 3].map(|g| to.wrapping_add(g * group));
    let end = rows[0].wrapping_add(I & !(STRIPE - 1));
    while rows[0] < end {
        for g in 0..4 {
            store(to[g], W::in_units(W::quad(rows[0], g)));
            store(to[g].add(4), W::in_units(W::quad(rows[1], g)));
            to[g] = to[g].add(8);
        }
        rows = rows.map(|row| row.add(STRIPE));
    }
}

/// A packed tile of tokens by the packed block of rows, group by group.
#[inline(never)]
unsafe fn multiply(mut left: *const f32, height: usize, count: usize, I: usize) {
    let panel = (I & !(STRIPE - 1)) / 4;
    let mut right = packed_right().cast_const();
    for group in 0..4 {
        let mut to = accumulators().wrapping_add(group * GROUP_SIZE);
        for _ in 0..pairs_of(count) {
            if height == TALL {
                walk::<TALL>(to, right, left, panel * PAIR);
            } else {
                walk::<SHORT>(to, right, left, panel * PAIR);
            }
            right = right.wrapping_add(panel * PAIR);
            to = to.wrapping_add(PAIR_SIZE);
        }
        left = left.wrapping_add(panel * height);
    }
}

/// One group of the dots of HEIGHT tokens by two rows; `size` is the numbers of the pair's panel.
unsafe fn walk<const HEIGHT: usize>(to: *mut v128, mut right: *const f32, mut left: *const f32, size: usize) {
    let end = right.wrapping_add(size);
    let mut acc = [[zeros(); PAIR]; HEIGHT];
    while right < end {
        let weights = [load(right), load(right.add(4))];
        for token in 0..HEIGHT {
            let x = load(left.add(4 * token));
            for row in 0..PAIR {
                acc[token][row] = madd(acc[token][row], x, weights[row]);
            }
        }
        right = right.add(4 * PAIR);
        left = left.add(4 * HEIGHT);
    }
    for token in 0..HEIGHT {
        for row in 0..PAIR {
            *to.add(token * PAIR + row) = acc[token][row];
        }
    }
}

/// The four accumulators of one pair, added pairwise.
unsafe fn quad(at: *const v128) -> v128 {
    add_pairwise([0, 1, 2, 3].map(|group| *at.add(group * GROUP_SIZE)))
}

/// Combines, adds the tails and the biases of token k of the tile, and writes its rows.
#[inline(never)]
unsafe fn finish(
    y: *mut f32,
    x: *const f32,
    rows: List,
    k: usize,
    r: usize,
    size: usize,
    I: usize,
    count: usize,
) {
    let mut at = accumulators().wrapping_add(k * PAIR).cast_const();
    for q in (0..size).step_by(QUAD) {
        let r0 = (r + q).min(count - QUAD);
        let next = at.add(PAIR_SIZE);
        let mut totals = combine_four([quad(at), quad(at.add(1)), quad(next), quad(next.add(1))]);
        at = next.add(PAIR_SIZE);
        let tails = row_tails().wrapping_add(q / QUAD * TAIL_SIZE);
        for i in I & !(STRIPE - 1)..I {
            totals = madd(totals, splat_at(x.wrapping_add(i)), *tails.wrapping_add(i % STRIPE));
        }
        totals = f32x4_add(totals, *row_biases().wrapping_add(q / QUAD));
        if rows.is_null() {
            store(y.wrapping_add(r0), totals);
        } else {
            scatter(y, totals, rows.wrapping_add(r0));
        }
    }
}

/// Writes four numbers to the places of a list.
unsafe fn scatter(y: *mut f32, four: v128, list: List) {
    v128_store32_lane::<0>(four, y.wrapping_add(*list).cast());
    v128_store32_lane::<1>(four, y.wrapping_add(*list.add(1)).cast());
    v128_store32_lane::<2>(four, y.wrapping_add(*list.add(2)).cast());
    v128_store32_lane::<3>(four, y.wrapping_add(*list.add(3)).cast());
}

/// One number of each of four rows.
unsafe fn gather<W: Stored>(rows: [*const W; 4], column: usize) -> v128 {
    let [a, b, c, d] = rows.map(|row| W::one(row.wrapping_add(column)));
    f32x4(a, b, c, d)
}
