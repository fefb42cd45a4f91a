//! linear_backward_weight: weight_grad[o, i] += sum over t of y_grad[t, o] * x[t, i] for chosen rows o.
//! linear_backward_bias: bias_grad[o] += sum over t of y_grad[t, o]. Both sequential in t, onto what is there.
use crate::elementwise::{add_arrays, add_scaled};
use crate::outer_product::{add_outer_products, Left, Matrix, Right};
use crate::units::{add_chosen, chosen, part_of, unit_at, List};
use core::ptr::null;

/// From this many tokens and rows packing costs less than it saves.
const WORTH_PACKING: usize = 4;

#[no_mangle]
pub unsafe extern "C" fn linear_backward_weight(
    weight_grad: *mut f32, // [O, I]
    y_grad: *const f32,    // [T, O]
    x: *const f32,         // [T, I]
    rows: List,            // [R] or null
    T: usize,
    O: usize,
    I: usize,
    R: usize,
) {
    linear_backward_weight_part(weight_grad, y_grad, x, rows, T, O, I, R, 0, chosen(rows, R, O));
}

/// What rows from..to of the matrix receive, or entries from..to of the list.
#[no_mangle]
pub unsafe extern "C" fn linear_backward_weight_part(
    mut weight_grad: *mut f32, // [O, I]
    mut y_grad: *const f32,    // [T, O]
    x: *const f32,             // [T, I]
    rows: List,                // [R] or null
    T: usize,
    O: usize,
    I: usize,
    _R: usize,
    from: usize,
    to: usize,
) {
    let count = to - from;
    if rows.is_null() {
        weight_grad = weight_grad.wrapping_add(from * I);
        y_grad = y_grad.wrapping_add(from);
    }
    let rows = part_of(rows, from);
    if T >= WORTH_PACKING && count >= WORTH_PACKING {
        add_outer_products(
            Matrix { at: weight_grad, list: rows, width: I },
            Left { at: y_grad, by_row: 1, by_term: O },
            Right { at: x, list: null(), width: I },
            count,
            I,
            T,
        );
        return;
    }
    for r in 0..count {
        let o = unit_at(rows, r);
        for t in 0..T {
            let factor = *y_grad.wrapping_add(t * O + o);
            add_scaled(weight_grad.wrapping_add(o * I), x.wrapping_add(t * I), factor, I);
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn linear_backward_bias(
    bias_grad: *mut f32, // [O]
    y_grad: *const f32,  // [T, O]
    rows: List,          // [R] or null
    T: usize,
    O: usize,
    R: usize,
) {
    for t in 0..T {
        let row = y_grad.wrapping_add(t * O);
        if rows.is_null() {
            add_arrays(bias_grad, bias_grad, row, O);
        } else {
            add_chosen(bias_grad, row, rows, R);
        }
    }
}
