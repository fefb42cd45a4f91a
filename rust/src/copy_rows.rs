//! copy_rows: y[slots[r]] = x[rows[r]]; the other rows of y are left alone. copy_rows_bf16, copy_rows_f16, copy_rows_i8,
//! copy_rows_i4: the same, whatever the rows hold.
use crate::units::{unit_at, List};

macro_rules! copy_rows {
    ($name:ident, $T:ty) => {
        #[no_mangle]
        pub unsafe extern "C" fn $name(
            y: *mut $T,   // [S, I]
            x: *const $T, // [O, I]
            slots: List,  // [R] or null
            rows: List,   // [R]
            _S: usize,
            _O: usize,
            I: usize,
            R: usize,
        ) {
            copy(y, x, slots, rows, I, R);
        }
    };
}

copy_rows!(copy_rows, f32);
copy_rows!(copy_rows_bf16, u16);
copy_rows!(copy_rows_f16, u16);
copy_rows!(copy_rows_i8, u8);
copy_rows!(copy_rows_i4, u8);

unsafe fn copy<T>(y: *mut T, x: *const T, slots: List, rows: List, I: usize, R: usize) {
    for r in 0..R {
        let from = x.wrapping_add(*rows.wrapping_add(r) * I);
        y.wrapping_add(unit_at(slots, r) * I).copy_from(from, I);
    }
}
