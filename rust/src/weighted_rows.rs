//! y += sum over rows r of factors[r] * matrix[r], sequential in r: what linear_input_major does for a few tokens, and
//! attention with the values of the past.
//!
//! Two ways with the same order of additions. With eight rows side by side, a line of each after the other, y is read and
//! written an eighth as often, and memory is read in eight streams, which is faster than one. Short rows that follow each
//! other in memory are the exception: there the streams share pages, and one row after the other is faster
//! (bench/README.md).
use crate::elementwise::add_scaled;
use crate::float32::{load, madd, madd1, splat_at, store, STRIPE};
use crate::scratch::{row_addresses, row_factors};
use crate::storage::Stored;
use crate::units::{unit_at, List};

/// Rows side by side: more fall into the same places of a first-level cache where rows are a power of two long.
const GROUP: usize = 8;

/// Columns of a group that stay in a first-level cache while several tokens use them.
const CHUNK: usize = 512;

/// Every row, one after the other: y += sum over r of x[r] * matrix[r]. Rows of the matrix are `stride` numbers apart.
pub unsafe fn add_rows_one_by_one<W: Stored>(
    y: *mut f32,      // [width]
    matrix: *const W, // [count, width]
    x: *const f32,    // [count]
    count: usize,
    width: usize,
    stride: usize,
) {
    for r in 0..count {
        add_scaled(y, matrix.wrapping_add(r * stride), *x.wrapping_add(r), width);
    }
}

/// Chosen rows side by side, for each of T tokens: y[t] += sum over r of x[t, r] * matrix[r]. Rows of y and of the matrix
/// are `stride` numbers apart.
#[inline(never)]
pub unsafe fn add_rows<W: Stored>(
    y: *mut f32,      // [T, width]
    matrix: *const W, // [I, width]
    x: *const f32,    // [T, I]
    list: List,       // [count] or null
    T: usize,
    width: usize,
    stride: usize,
    I: usize,
    count: usize,
) {
    let addresses = row_addresses().cast::<*const W>();
    let factors = row_factors();
    let chunk = if T == 1 { width.max(1) } else { CHUNK };
    for first in (0..count).step_by(GROUP) {
        let size = GROUP.min(count - first);
        for r in 0..size {
            *addresses.wrapping_add(r) = matrix.wrapping_add(unit_at(list, first + r) * stride);
        }
        let mut column = 0;
        while column < width {
            let columns = chunk.min(width - column);
            for t in 0..T {
                let (from, to) = (x.wrapping_add(t * I), y.wrapping_add(t * stride + column));
                let mut fit = true;
                for r in 0..size {
                    let factor = *from.wrapping_add(unit_at(list, first + r));
                    *factors.wrapping_add(r) = factor;
                    fit = fit && W::fits_units(factor);
                }
                if fit {
                    add_group::<W>(to, column, columns, size);
                    continue;
                }
                for r in 0..size {
                    let row = (*addresses.wrapping_add(r)).wrapping_add(column);
                    add_scaled(to, row, *factors.wrapping_add(r), columns);
                }
            }
            column += chunk;
        }
    }
}

/// Adds `size` rows at `row_addresses` times their `row_factors`, which fit: `width` numbers of each from a column on.
unsafe fn add_group<W: Stored>(mut y: *mut f32, mut column: usize, width: usize, size: usize) {
    let addresses = row_addresses().cast::<*const W>();
    let factors = row_factors();
    let (whole, end) = (y.wrapping_add(width & !(STRIPE - 1)), y.wrapping_add(width));
    while y < whole {
        let mut sums = [0, 1, 2, 3].map(|q| load(y.add(4 * q)));
        let mut add = |r: usize| {
            let factor = W::in_units(splat_at(factors.wrapping_add(r)));
            let row = (*addresses.wrapping_add(r)).wrapping_add(column);
            for q in 0..4 {
                sums[q] = madd(sums[q], factor, W::quad(row, q));
            }
        };
        // Two in a turn: the loop itself takes time beside one.
        let mut r = 0;
        while r < size & !1 {
            add(r);
            add(r + 1);
            r += 2;
        }
        if r < size {
            add(r);
        }
        for q in 0..4 {
            store(y.add(4 * q), sums[q]);
        }
        y = y.add(STRIPE);
        column += STRIPE;
    }
    while y < end {
        for r in 0..size {
            let row = (*addresses.wrapping_add(r)).wrapping_add(column);
            *y = madd1(*y, *factors.wrapping_add(r), W::one(row));
        }
        y = y.add(1);
        column += 1;
    }
}
