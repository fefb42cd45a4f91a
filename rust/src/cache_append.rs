//! cache_append: cache[h, P + t] = x[t, h] for chosen heads; the others are left alone.
use crate::units::{chosen, unit_at, List};

#[no_mangle]
pub unsafe extern "C" fn cache_append(
    cache: *mut f32, // [H, C, K]
    x: *const f32,   // [T, H, K]
    heads: List,     // [R] or null
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
            let from = x.wrapping_add((t * H + h) * K);
            cache.wrapping_add((h * C + P + t) * K).copy_from(from, K);
        }
    }
}
