//! linear_input_major: y[t, o] = sum over chosen inputs i of x[t, i] * weight[i, o], + bias[o]; sequential in i.
//! linear_input_major_bf16, linear_input_major_f16: the same over weights in half precision.
//!
//! Few tokens: rows of the weights stream past (weighted_rows.rs), without those of inputs that are zero where that is faster
//! (nonzero.rs). Many: register tiles (outer_product.rs).
use crate::elementwise::add_arrays;
use crate::nonzero::list_nonzero;
use crate::outer_product::{add_outer_products, Left, Matrix, Right};
use crate::scratch::packed_left;
use crate::storage::{Bf16, Stored, F16};
use crate::units::{chosen, clear, List};
use crate::weighted_rows::{add_rows, add_rows_one_by_one};
use core::ptr::null;

/// From this many tokens packing costs less than it saves.
const WORTH_PACKING: usize = 8;

/// Rows of this many numbers stand far enough apart to be read side by side.
const WIDE: usize = 1024;

macro_rules! linear_input_major {
    ($whole:ident, $part:ident, $W:ty) => {
        #[no_mangle]
        pub unsafe extern "C" fn $whole(
            y: *mut f32,       // [T, O]
            x: *const f32,     // [T, I]
            weight: *const $W, // [I, O]
            bias: *const f32,  // [O] or null
            inputs: List,      // [R] or null
            T: usize,
            O: usize,
            I: usize,
            R: usize,
        ) {
            over_inputs(y, x, weight, bias, inputs, T, O, I, R, 0, O);
        }

        /// Columns from..to of y and of the matrix.
        #[no_mangle]
        pub unsafe extern "C" fn $part(
            y: *mut f32,       // [T, O]
            x: *const f32,     // [T, I]
            weight: *const $W, // [I, O]
            bias: *const f32,  // [O] or null
            inputs: List,      // [R] or null
            T: usize,
            O: usize,
            I: usize,
            R: usize,
            from: usize,
            to: usize,
        ) {
            over_inputs(y, x, weight, bias, inputs, T, O, I, R, from, to);
        }
    };
}

linear_input_major!(linear_input_major, linear_input_major_part, f32);
linear_input_major!(linear_input_major_bf16, linear_input_major_bf16_part, Bf16);
linear_input_major!(linear_input_major_f16, linear_input_major_f16_part, F16);

unsafe fn over_inputs<W: Stored>(
    y: *mut f32,      // [T, O]
    x: *const f32,    // [T, I]
    weight: *const W, // [I, O]
    bias: *const f32, // [O] or null
    inputs: List,     // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
    from: usize,
    to: usize,
) {
    W::prepare();
    let count = chosen(inputs, R, I);
    let width = to - from;
    let (y, weight) = (y.wrapping_add(from), weight.wrapping_add(from));
    for t in 0..T {
        clear(y.wrapping_add(t * O), width);
    }
    if T >= WORTH_PACKING {
        add_outer_products(
            Matrix { at: y, list: null(), width: O },
            Left { at: x, by_row: I, by_term: 1 },
            Right { at: weight, list: inputs, width: O },
            T,
            width,
            count,
        );
    } else if T > 0 {
        let list = packed_left().cast::<usize>();
        let kept = list_nonzero(list, x, inputs, T, I, count, width * size_of::<W>());
        if kept >= 0 {
            add_rows(y, weight, x, list, T, width, O, I, kept as usize);
        } else if T > 1 || !inputs.is_null() || O >= WIDE {
            add_rows(y, weight, x, inputs, T, width, O, I, count);
        } else {
            add_rows_one_by_one(y, weight, x, count, width, O);
        }
    }
    if !bias.is_null() {
        for t in 0..T {
            let row = y.wrapping_add(t * O);
            add_arrays(row, row, bias.wrapping_add(from), width);
        }
    }
}
