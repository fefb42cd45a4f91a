//! embedding: y[t] = table[ids[t]].
//! embedding_bf16, embedding_f16: the same over a table in half precision; embedding_i8: times the scale of the row.
//! embedding_backward: table_grad[ids[t]] += y_grad[t], sequential in t.
use crate::elementwise::{add_arrays, widen_array};
use crate::storage::{Bf16, Stored, F16};
use crate::units::List;

#[no_mangle]
pub unsafe extern "C" fn embedding(
    y: *mut f32,       // [T, D]
    table: *const f32, // [V, D]
    ids: List,         // [T]
    T: usize,
    _V: usize,
    D: usize,
) {
    for t in 0..T {
        let from = table.wrapping_add(*ids.wrapping_add(t) * D);
        y.wrapping_add(t * D).copy_from(from, D);
    }
}

#[no_mangle]
pub unsafe extern "C" fn embedding_bf16(
    y: *mut f32,        // [T, D]
    table: *const Bf16, // [V, D]
    ids: List,          // [T]
    T: usize,
    _V: usize,
    D: usize,
) {
    widen_rows(y, table, ids, T, D);
}

#[no_mangle]
pub unsafe extern "C" fn embedding_f16(
    y: *mut f32,       // [T, D]
    table: *const F16, // [V, D]
    ids: List,         // [T]
    T: usize,
    _V: usize,
    D: usize,
) {
    widen_rows(y, table, ids, T, D);
}

unsafe fn widen_rows<W: Stored>(y: *mut f32, table: *const W, ids: List, T: usize, D: usize) {
    W::prepare();
    for t in 0..T {
        widen_array(y.wrapping_add(t * D), table.wrapping_add(*ids.wrapping_add(t) * D), D);
    }
}

#[no_mangle]
pub unsafe extern "C" fn embedding_i8(
    y: *mut f32,        // [T, D]
    table: *const i8,   // [V, D]
    scales: *const f32, // [V]
    ids: List,          // [T]
    T: usize,
    _V: usize,
    D: usize,
) {
    for t in 0..T {
        let row = *ids.wrapping_add(t);
        let scale = *scales.wrapping_add(row);
        let (from, to) = (table.wrapping_add(row * D), y.wrapping_add(t * D));
        for d in 0..D {
            *to.wrapping_add(d) = scale * f32::from(*from.wrapping_add(d));
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn embedding_backward(
    table_grad: *mut f32, // [V, D]
    y_grad: *const f32,   // [T, D]
    ids: List,            // [T]
    T: usize,
    _V: usize,
    D: usize,
) {
    for t in 0..T {
        let row = table_grad.wrapping_add(*ids.wrapping_add(t) * D);
        add_arrays(row, row, y_grad.wrapping_add(t * D), D);
    }
}
