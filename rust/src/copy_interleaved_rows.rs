//! copy_interleaved_rows: row slots[r] of y = row rows[r] of x, of which four lie side by side.
use crate::int4::copy_interleaved_row;
use crate::units::{unit_at, List};

#[no_mangle]
pub unsafe extern "C" fn copy_interleaved_rows(
    y: *mut u8,   // [G, B, 80]
    x: *const u8, // [Q, B, 80]
    slots: List,  // [R] or null
    rows: List,   // [R]
    _S: usize,
    _O: usize,
    R: usize,
    _G: usize,
    _Q: usize,
    B: usize,
) {
    for r in 0..R {
        copy_interleaved_row(y, unit_at(slots, r), x, *rows.wrapping_add(r), B);
    }
}
