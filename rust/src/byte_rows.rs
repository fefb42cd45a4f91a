//! Rows of int8 numbers in a head-major cache: their inner products with a query of int16.
//!
//! The products are exact, so they may be added in any order, and rows are read from four places at once, which is faster
//! than from one (bench/README.md). A row is `K` bytes long; its scale stands elsewhere.
use crate::float32::{load, store};
use crate::int16_pairs::{load_eight, multiply_pairs, sums_of_lanes};
use core::arch::wasm32::*;

/// y[s] = (step * scales[s]) * <q, rows[s]>, s < count.
#[inline(never)]
pub unsafe fn dot_byte_rows(
    y: *mut f32,   // [count]
    q: *const i16, // [K]
    step: f32,
    rows: *const i8,    // [count, K]
    scales: *const f32, // [count]
    count: usize,
    K: usize,
) {
    let quarter = (count >> 2) & !3;
    let four =
        |s: usize| dot_four(y.wrapping_add(s), q, step, rows.wrapping_add(s * K), scales.wrapping_add(s), K);
    let mut s = 0;
    while s < quarter {
        four(s);
        four(s + quarter);
        four(s + 2 * quarter);
        four(s + 3 * quarter);
        s += 4;
    }
    s = 4 * quarter;
    while s + 4 <= count {
        four(s);
        s += 4;
    }
    while s < count {
        let product = dot_one(q, rows.wrapping_add(s * K), K);
        *y.wrapping_add(s) = step * *scales.wrapping_add(s) * product as f32;
        s += 1;
    }
}

/// Four rows that follow each other.
#[inline(never)]
unsafe fn dot_four(
    y: *mut f32,
    mut q: *const i16,
    step: f32,
    mut rows: *const i8,
    scales: *const f32,
    K: usize,
) {
    let (whole, end) = (rows.wrapping_add(K & !15), rows.wrapping_add(K));
    let at = |rows: *const i8, row: usize| rows.wrapping_add(row * K);
    let mut sums = [i32x4_splat(0); 4];
    while rows < whole {
        let (q0, q1) = (load(q), load(q.add(8)));
        for row in 0..4 {
            let first = multiply_pairs(sums[row], q0, load_eight(at(rows, row)));
            sums[row] = multiply_pairs(first, q1, load_eight(at(rows, row).add(8)));
        }
        rows = rows.add(16);
        q = q.add(16);
    }
    let [a, b, c, d] = sums;
    let mut totals = sums_of_lanes(a, b, c, d);
    while rows < end {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| i32::from(*at(rows, row)));
        totals = i32x4_add(totals, i32x4_mul(i32x4_splat(i32::from(*q)), i32x4(a, b, c, d)));
        rows = rows.add(1);
        q = q.add(1);
    }
    store(y, f32x4_mul(f32x4_mul(f32x4_splat(step), load(scales)), f32x4_convert_i32x4(totals)));
}

unsafe fn dot_one(q: *const i16, row: *const i8, K: usize) -> i32 {
    let mut total = 0;
    for k in 0..K {
        total += i32::from(*q.wrapping_add(k)) * i32::from(*row.wrapping_add(k));
    }
    total
}
