//! cache_append_i8: the rows of new tokens as int8 with a scale each, for chosen heads; the others are left alone.
use crate::quantize_rows::quantize_row;
use crate::units::{chosen, unit_at, List};

#[no_mangle]
pub unsafe extern "C" fn cache_append_i8(
    cache: *mut i8,   // [H, C, K]
    scales: *mut f32, // [H, C]
    x: *const f32,    // [T, H, K]
    heads: List,      // [R] or null
    P: usize,
    T: usize,
    C: usize,
    H: usize,
    K: usize,
    R: usize,
) {
    for r in 0..chosen(heads, R, H) {
        let h = unit_at(heads, r);
        for t in 0..T {
            let place = h * C + P + t;
            let row = x.wrapping_add((t * H + h) * K);
            *scales.wrapping_add(place) = quantize_row(cache.wrapping_add(place * K), row, K);
        }
    }
}
