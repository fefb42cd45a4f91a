//! linear_input_major_i8: y[t, o] = step[t] (sum over chosen inputs i of q[t, i] weight[i, o]) + bias[o], where q[t] are the
//! chosen x[t, i] scales[i] in steps.
//!
//! The sums are exact, so the inputs are taken as it suits the machine. They gather in y, as integers, and become numbers
//! at the end. Few tokens: four rows at a time, from four places of the matrix, without those of inputs that are zero
//! where that is faster (nonzero.rs). Many: register tiles (outer_product.rs).
use crate::float32::{in_fours, load, splat_at, store, zeros};
use crate::int16_pairs::{load_eight, lower_pairs, multiply_pairs, upper_pairs};
use crate::nonzero::list_nonzero;
use crate::outer_product::{add_outer_products, Left, Matrix, Right};
use crate::quantized_steps::quantize_steps;
use crate::scratch::{packed_left, packed_right, quantized, row_addresses, row_factors, token_steps};
use crate::units::{chosen, clear, part_of, unit_at, List};
use core::arch::wasm32::*;
use core::ptr::null;

/// From this many tokens packing costs less than it saves.
const WORTH_PACKING: usize = 16;

/// Rounded numbers of a block of tokens, at most.
const BLOCK: usize = 524288;
/// At most this many tokens.
const MOST_TOKENS: usize = 64;

/// Columns of a group of rows that stay in a first-level cache while several tokens use them.
const CHUNK: usize = 1024;

#[no_mangle]
pub unsafe extern "C" fn linear_input_major_i8(
    y: *mut f32,        // [T, O]
    x: *const f32,      // [T, I]
    weight: *const i8,  // [I, O]
    scales: *const f32, // [I]
    bias: *const f32,   // [O] or null
    inputs: List,       // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
) {
    linear_input_major_i8_part(y, x, weight, scales, bias, inputs, T, O, I, R, 0, O);
}

/// Columns from..to of y and of the matrix.
#[no_mangle]
pub unsafe extern "C" fn linear_input_major_i8_part(
    y: *mut f32,        // [T, O]
    x: *const f32,      // [T, I]
    weight: *const i8,  // [I, O]
    scales: *const f32, // [I]
    bias: *const f32,   // [O] or null
    inputs: List,       // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    let width = to - from;
    let (mut inputs, mut count) = (inputs, chosen(inputs, R, I));
    if T < WORTH_PACKING {
        let list = packed_left().cast::<usize>();
        let kept = list_nonzero(list, x, inputs, T, I, count, width);
        if kept >= 0 {
            (inputs, count) = (list, kept as usize);
        }
    }
    let paired = (count + 1) & !1; // rounded numbers of a token, which are used in pairs
    let block = MOST_TOKENS.min(BLOCK / paired.max(1));
    let (y, weight, bias) = (y.wrapping_add(from), weight.wrapping_add(from), part_of(bias, from));
    for t in 0..T {
        clear(y.wrapping_add(t * O), width);
    }
    let mut first = 0;
    while first < T {
        let tokens = block.min(T - first);
        let y = y.wrapping_add(first * O);
        for t in 0..tokens {
            let q = quantized().wrapping_add(t * paired);
            scale_inputs(packed_right(), x.wrapping_add((first + t) * I), scales, inputs, count);
            *token_steps().wrapping_add(t) = quantize_steps(q, packed_right(), count);
            if paired > count {
                *q.wrapping_add(count) = 0;
            }
        }
        if T >= WORTH_PACKING {
            add_outer_products(
                Matrix { at: y, list: null(), width: O },
                Left { at: quantized().cast(), by_row: paired / 2, by_term: 1 },
                Right { at: weight, list: inputs, width: O },
                tokens,
                width,
                count,
            );
        } else {
            add_rows(y.cast(), weight, inputs, tokens, width, O, count, paired);
        }
        for t in 0..tokens {
            finish(y.wrapping_add(t * O), *token_steps().wrapping_add(t), bias, width);
        }
        first += block;
    }
}

/// Chosen inputs times their scales.
unsafe fn scale_inputs(to: *mut f32, x: *const f32, scales: *const f32, inputs: List, count: usize) {
    if inputs.is_null() {
        in_fours(
            count,
            |r| store(to.wrapping_add(r), f32x4_mul(load(x.wrapping_add(r)), load(scales.wrapping_add(r)))),
            |r| *to.wrapping_add(r) = *x.wrapping_add(r) * *scales.wrapping_add(r),
        );
        return;
    }
    for r in 0..count {
        let i = *inputs.wrapping_add(r);
        *to.wrapping_add(r) = *x.wrapping_add(i) * *scales.wrapping_add(i);
    }
}

/// Integers in y become numbers.
unsafe fn finish(y: *mut f32, step: f32, bias: *const f32, width: usize) {
    let steps = f32x4_splat(step);
    let four = |o: usize| {
        let to = y.wrapping_add(o);
        let biases = if bias.is_null() { zeros() } else { load(bias.wrapping_add(o)) };
        store(to, f32x4_add(f32x4_mul(steps, f32x4_convert_i32x4(load(to))), biases));
    };
    let one = |o: usize| {
        let to = y.wrapping_add(o);
        let bias = if bias.is_null() { 0.0 } else { *bias.wrapping_add(o) };
        *to = step * *to.cast::<i32>() as f32 + bias;
    };
    in_fours(width, four, one);
}

/// y[t] += sum over chosen r of q[t, r] * weight[r], in integers; rows of y and of the weights are `stride` apart.
unsafe fn add_rows(
    y: *mut i32, // [tokens, width]
    weight: *const i8,
    inputs: List,
    tokens: usize,
    width: usize,
    stride: usize,
    count: usize,
    paired: usize,
) {
    let addresses = row_addresses().cast::<*const i8>();
    let factors = row_factors().cast::<i16>();
    let chunk = if tokens == 1 { width } else { CHUNK };
    let quarter = count.div_ceil(4);
    for first in 0..quarter {
        // A place past the end takes a row that is there, times 0.
        for place in 0..4 {
            let r = first + place * quarter;
            let row = unit_at(inputs, if r < count { r } else { first });
            *addresses.add(place) = weight.wrapping_add(row * stride);
        }
        let mut column = 0;
        while column < width {
            for t in 0..tokens {
                let q = quantized().wrapping_add(t * paired);
                for place in 0..4 {
                    let r = first + place * quarter;
                    *factors.add(place) = if r < count { *q.wrapping_add(r) } else { 0 };
                }
                add_four(y.wrapping_add(t * stride), column, chunk.min(width - column));
            }
            column += chunk;
        }
    }
}

/// Adds the four rows at `row_addresses` times their `row_factors`: `width` numbers of each, from a column on.
unsafe fn add_four(y: *mut i32, column: usize, width: usize) {
    let addresses = row_addresses().cast::<*const i8>();
    let factors = row_factors().cast::<i16>();
    let mut rows = [0, 1, 2, 3].map(|place| (*addresses.add(place)).wrapping_add(column));
    let pairs = [splat_at(factors), splat_at(factors.add(2))];
    let factor = [0, 1, 2, 3].map(|place| i32::from(*factors.add(place)));
    let mut y = y.wrapping_add(column);
    let (whole, end) = (y.wrapping_add(width & !15), y.wrapping_add(width));
    while y < whole {
        // Eight columns are stored before the next are read: compilers move nothing across that, and need fewer registers.
        for half in 0..2 {
            let to = y.add(8 * half);
            let mut sums = [load(to), load(to.add(4))];
            for pair in 0..2 {
                let a = load_eight(rows[2 * pair].add(8 * half));
                let b = load_eight(rows[2 * pair + 1].add(8 * half));
                sums[0] = multiply_pairs(sums[0], pairs[pair], lower_pairs(a, b));
                sums[1] = multiply_pairs(sums[1], pairs[pair], upper_pairs(a, b));
            }
            store(to, sums[0]);
            store(to.add(4), sums[1]);
        }
        y = y.add(16);
        rows = rows.map(|row| row.add(16));
    }
    while y < end {
        for place in 0..4 {
            *y += i32::from(*rows[place]) * factor[place];
        }
        y = y.add(1);
        rows = rows.map(|row| row.add(1));
    }
}
