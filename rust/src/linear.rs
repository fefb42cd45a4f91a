//! linear: y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, +0 for the others; a striped dot each.
//!
//! linear_bf16, linear_f16: the same over weights in half precision.
//!
//! Few tokens: the rows stream past, from three places of the matrix at once, a third of the way apart: on the machines
//! tried that is faster than one stream, and than rows that are neighbours (bench/README.md). Several: linear_tile.rs.
use crate::elementwise::{add_arrays, all_fit_units};
use crate::float32::{dot, dot_three};
use crate::linear_tile::{is_tiled, linear_tiled};
use crate::storage::{Bf16, Stored, F16};
use crate::units::{add_chosen, chosen, clear_owned, part_of, unit_at, List};
use core::ptr::null;

macro_rules! linear {
    ($whole:ident, $part:ident, $W:ty) => {
        #[no_mangle]
        pub unsafe extern "C" fn $whole(
            y: *mut f32,       // [T, O]
            x: *const f32,     // [T, I]
            weight: *const $W, // [O, I]
            bias: *const f32,  // [O] or null
            rows: List,        // [R] or null
            T: usize,
            O: usize,
            I: usize,
            R: usize,
        ) {
            over_rows(y, x, weight, bias, rows, T, O, I, R, 0, chosen(rows, R, O));
        }

        /// What rows from..to of the matrix give, or entries from..to of the list.
        #[no_mangle]
        pub unsafe extern "C" fn $part(
            y: *mut f32,       // [T, O]
            x: *const f32,     // [T, I]
            weight: *const $W, // [O, I]
            bias: *const f32,  // [O] or null
            rows: List,        // [R] or null
            T: usize,
            O: usize,
            I: usize,
            R: usize,
            from: usize,
            to: usize,
        ) {
            over_rows(y, x, weight, bias, rows, T, O, I, R, from, to);
        }
    };
}

linear!(linear, linear_part, f32);
linear!(linear_bf16, linear_bf16_part, Bf16);
linear!(linear_f16, linear_f16_part, F16);

unsafe fn over_rows<W: Stored>(
    y: *mut f32,      // [T, O]
    x: *const f32,    // [T, I]
    weight: *const W, // [O, I]
    bias: *const f32, // [O] or null
    rows: List,       // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    W::prepare();
    if rows.is_null() {
        let (y, weight) = (y.wrapping_add(from), weight.wrapping_add(from * I));
        multiply(y, x, weight, part_of(bias, from), null(), T, O, I, to - from);
    } else {
        clear_owned(y, rows, T, O, 1, R, from, to);
        multiply(y, x, weight, bias, rows.wrapping_add(from), T, O, I, to - from);
    }
}

/// The first `count` rows of the matrix, or of the list.
unsafe fn multiply<W: Stored>(
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
    if is_tiled(T, I, count) {
        linear_tiled(y, x, weight, bias, rows, T, O, I, count);
        return;
    }
    let third = if all_fit_units::<W>(x, T, I) { count / 3 } else { 0 };
    for r in 0..third {
        let places = [r, r + third, r + 2 * third].map(|r| unit_at(rows, r));
        let weights = places.map(|o| weight.wrapping_add(o * I));
        for t in 0..T {
            let to = y.wrapping_add(t * O);
            let dots = dot_three(x.wrapping_add(t * I), weights, I);
            for row in 0..3 {
                *to.wrapping_add(places[row]) = dots[row];
            }
        }
    }
    for r in 3 * third..count {
        let o = unit_at(rows, r);
        for t in 0..T {
            *y.wrapping_add(t * O + o) = dot(x.wrapping_add(t * I), weight.wrapping_add(o * I), I);
        }
    }
    if !bias.is_null() {
        add_biases(y, bias, rows, T, O, count);
    }
}

unsafe fn add_biases(y: *mut f32, bias: *const f32, rows: List, T: usize, O: usize, count: usize) {
    for t in 0..T {
        let to = y.wrapping_add(t * O);
        if rows.is_null() {
            add_arrays(to, to, bias, count);
        } else {
            add_chosen(to, bias, rows, count);
        }
    }
}
