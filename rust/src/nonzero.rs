//! Lists of the inputs that are not zero, for the input-major ops: of the matrix they read no other rows. A term of zero
//! changes no bit (src/ops/linear_input_major.ts).
//!
//! Rows with gaps between them are read slower than rows in a sequence, so a list pays only if it is short enough.
use crate::float32::{load, zeros};
use crate::quantized_steps::count_nonzero;
use crate::units::{unit_at, List};
use core::arch::wasm32::*;

/// Reading a row after a gap takes as long as reading this many bytes more (bench/README.md).
const JUMP: u64 = 2048;

/// No list is longer than this.
const LONGEST: usize = 524288;

/// Whether a sum over `count` inputs, of which at most `nonzero` are not zero, is faster by a list of these. Rows that are
/// listed already have gaps.
fn is_worth_listing(nonzero: usize, count: usize, row_bytes: usize, is_listed: bool) -> bool {
    let (nonzero, all, row_bytes) = (nonzero as u64, count as u64, row_bytes as u64);
    count <= LONGEST && (is_listed || nonzero * (row_bytes + JUMP) <= all * row_bytes)
}

/// Lists the chosen inputs that are not zero for every one of T tokens, in their order. Returns how many there are; -1,
/// without a list, where a sum is not faster by it.
#[inline(never)]
pub unsafe fn list_nonzero(
    list: *mut usize, // [count]
    x: *const f32,    // [T, I]
    inputs: List,     // [count] or null
    T: usize,
    I: usize,
    count: usize,
    row_bytes: usize,
) -> isize {
    let is_listed = !inputs.is_null();
    let mut nonzero = 0;
    if !is_listed {
        for t in 0..T {
            nonzero += count_nonzero(x.wrapping_add(t * I), I);
        }
    }
    if !is_worth_listing(nonzero, count, row_bytes, is_listed) {
        return -1;
    }
    let whole = if is_listed { 0 } else { count & !3 };
    let mut kept = 0;
    for r in (0..whole).step_by(4) {
        let mut any = zeros();
        for t in 0..T {
            any = v128_or(any, f32x4_ne(load(x.wrapping_add(t * I + r)), zeros()));
        }
        let mut lanes = i32x4_bitmask(any);
        while lanes != 0 {
            *list.wrapping_add(kept) = r + lanes.trailing_zeros() as usize;
            kept += 1;
            lanes &= lanes - 1;
        }
    }
    for r in whole..count {
        let i = unit_at(inputs, r);
        let any = (0..T).any(|t| *x.wrapping_add(t * I + i) != 0.0);
        *list.wrapping_add(kept) = i;
        kept += usize::from(any);
    }
    kept as isize
}
