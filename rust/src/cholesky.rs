//! cholesky: the upper triangle R with A = Rᵀ R. solve_cholesky: the X with Rᵀ R X = B.
//!
//! Rows are worked off in blocks. Those of a block are finished one after the other; then the terms of the whole block are added to
//! the rows that still want them, so that what is added to stays in registers. The order of each sum is that of the definition.
//! Products are rounded in every build.
use crate::float32::{load, splat_at, store};
use core::arch::wasm32::*;

/// Rows of a block: its terms of 16 columns fit half of a first-level cache.
const BLOCK: usize = 64;
/// Columns that are added up at once.
const WIDTH: usize = 16;

/// Numbers apart from each other by a step, which may go back.
#[derive(Clone, Copy)]
struct Walk {
    at: *const f32,
    step: isize,
}

#[no_mangle]
pub unsafe extern "C" fn cholesky(
    factor: *mut f32, // [U, U], may be a
    a: *const f32,    // [U, U]
    U: usize,
) {
    if factor.cast_const() != a {
        factor.copy_from(a, U * U);
    }
    let place = |row: usize, column: usize| factor.wrapping_add(row * U + column);
    let mut first = 0;
    while first < U {
        let end = U.min(first + BLOCK);
        for k in first..end {
            // -R[i, k] stands below the diagonal, at [k, i], until its row is no longer needed.
            let at = place(k, k);
            let above = Walk { at: place(first, k), step: U as isize };
            add_terms([at], [place(k, first)], 1, above, k - first, U - k);
            let square = *at;
            let pivot = if square > 0.0 { root(square) } else { 0.0 };
            *at = pivot;
            divide_row(at.wrapping_add(1), pivot, U - k - 1, false);
            for j in k + 1..U {
                *place(j, k) = -*place(k, j);
            }
        }
        let mut i = end;
        while i < U {
            let above = Walk { at: place(first, i), step: U as isize };
            if i + 1 < U {
                // The number of the second row that stands below the diagonal is overwritten before it is read.
                let left = [place(i, first).cast_const(), place(i + 1, first)];
                add_terms([place(i, i), place(i + 1, i)], left, 1, above, end - first, U - i);
            } else {
                add_terms([place(i, i)], [place(i, first)], 1, above, end - first, U - i);
            }
            i += 2;
        }
        first = end;
    }
    for k in 0..U {
        place(k, 0).write_bytes(0, k);
    }
}

#[no_mangle]
pub unsafe extern "C" fn solve_cholesky(
    x: *mut f32,        // [U, D], may be b
    b: *const f32,      // [U, D]
    factor: *const f32, // [U, U]
    U: usize,
    D: usize,
) {
    solve_cholesky_part(x, b, factor, U, D, 0, D);
}

/// Columns from..to of x.
#[no_mangle]
pub unsafe extern "C" fn solve_cholesky_part(
    x: *mut f32,        // [U, D], may be b
    b: *const f32,      // [U, D]
    factor: *const f32, // [U, U]
    U: usize,
    D: usize,
    from: usize,
    to: usize,
) {
    let columns = to - from;
    let row = |k: usize| x.wrapping_add(k * D + from);
    let place = |k: usize, i: usize| factor.wrapping_add(k * U + i);
    if x.cast_const() != b {
        for k in 0..U {
            row(k).copy_from(b.wrapping_add(k * D + from), columns);
        }
    }
    let mut first = 0;
    while first < U {
        let end = U.min(first + BLOCK);
        let terms = Walk { at: row(first), step: D as isize };
        for k in first..end {
            add_terms([row(k)], [place(first, k)], U as isize, terms, k - first, columns);
            divide_row(row(k), *place(k, k), columns, true);
        }
        let left = |k: usize| place(first, k);
        add_to_rows(row, end, U, left, U as isize, terms, end - first, columns);
        first = end;
    }
    let mut end = U;
    while end > 0 {
        let first = end.saturating_sub(BLOCK);
        // Terms descend: a step is that of a row or a number before.
        let terms = Walk { at: row(end - 1), step: -(D as isize) };
        for k in (first..end).rev() {
            add_terms([row(k)], [place(k, end - 1)], -1, terms, end - 1 - k, columns);
            divide_row(row(k), *place(k, k), columns, true);
        }
        let left = |k: usize| place(k, end - 1);
        add_to_rows(row, 0, first, left, -1, terms, end - first, columns);
        end = first;
    }
}

/// The terms of a block for rows from..to, two at a time.
#[inline(always)]
unsafe fn add_to_rows(
    row: impl Fn(usize) -> *mut f32,
    from: usize,
    to: usize,
    left: impl Fn(usize) -> *const f32,
    left_step: isize,
    b: Walk,
    terms: usize,
    columns: usize,
) {
    let mut k = from;
    while k < to {
        if k + 1 < to {
            add_terms([row(k), row(k + 1)], [left(k), left(k + 1)], left_step, b, terms, columns);
        } else {
            add_terms([row(k)], [left(k)], left_step, b, terms, columns);
        }
        k += 2;
    }
}

/// The square root of a number, by the instruction.
fn root(x: f32) -> f32 {
    f32x4_extract_lane::<0>(f32x4_sqrt(f32x4_splat(x)))
}

/// The row divided by the pivot, or zeros where that is 0; with the other sign where `turned`.
unsafe fn divide_row(row: *mut f32, pivot: f32, length: usize, turned: bool) {
    if pivot > 0.0 {
        for n in 0..length {
            let at = row.wrapping_add(n);
            let quotient = *at / pivot;
            *at = if turned { -quotient } else { quotient };
        }
    } else {
        row.write_bytes(0, length);
    }
}

/// Rows: y[n] += sum over k of left[k] b[k, n], k ascending.
unsafe fn add_terms<const ROWS: usize>(
    rows: [*mut f32; ROWS],
    left: [*const f32; ROWS],
    left_step: isize,
    b: Walk,
    terms: usize,
    columns: usize,
) {
    if terms == 0 {
        return;
    }
    let mut n = 0;
    while n + WIDTH <= columns {
        let mut sums = rows.map(|y| [0, 4, 8, 12].map(|q| load(y.wrapping_add(n + q))));
        let mut factors = left;
        let mut from = b.at.wrapping_add(n);
        for _ in 0..terms {
            let x = [0, 4, 8, 12].map(|q| load(from.wrapping_add(q)));
            for r in 0..ROWS {
                let factor = splat_at(factors[r]);
                for q in 0..4 {
                    sums[r][q] = f32x4_add(sums[r][q], f32x4_mul(factor, x[q]));
                }
                factors[r] = factors[r].wrapping_offset(left_step);
            }
            from = from.wrapping_offset(b.step);
        }
        for r in 0..ROWS {
            for q in 0..4 {
                store(rows[r].wrapping_add(n + 4 * q), sums[r][q]);
            }
        }
        n += WIDTH;
    }
    for n in n..columns {
        for r in 0..ROWS {
            let y = rows[r].wrapping_add(n);
            let mut sum = *y;
            let mut factor = left[r];
            let mut from = b.at.wrapping_add(n);
            for _ in 0..terms {
                sum += *factor * *from;
                factor = factor.wrapping_offset(left_step);
                from = from.wrapping_offset(b.step);
            }
            *y = sum;
        }
    }
}
