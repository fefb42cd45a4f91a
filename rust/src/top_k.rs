//! top_k: the R highest of N scores as an ascending list; ties go to the lower index, NaN ranks below everything.
//!
//! Scores become unsigned keys in the same order (equal scores, equal keys). A radix search, a byte at a time from the
//! top, finds the key of the R-th highest and how many of its equals are in; one pass then writes the list.
use crate::scratch::byte_counts;
use crate::units::clear;

/// A score as an unsigned number: order-preserving, both zeros alike, NaN 0.
fn key_of(score: f32) -> u32 {
    if score.is_nan() {
        return 0;
    }
    let bits = (score + 0.0).to_bits(); // -0 becomes +0
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 0x8000_0000
    }
}

#[no_mangle]
pub unsafe extern "C" fn top_k(
    indices: *mut usize, // [R]
    scores: *const f32,  // [N]
    N: usize,
    R: usize,
) {
    if R == 0 {
        return;
    }
    let mut threshold = 0; // the bytes of the R-th highest key found so far
    let mut equals = R; // how many keys with those bytes are in
    for shift in [24, 16, 8, 0] {
        count_byte(scores, N, threshold, shift);
        let mut byte = 255;
        let mut count = *byte_counts().add(byte);
        while count < equals {
            equals -= count;
            byte -= 1;
            count = *byte_counts().wrapping_add(byte);
        }
        threshold |= (byte as u32) << shift;
    }
    let mut to = indices;
    for n in 0..N {
        let key = key_of(*scores.wrapping_add(n));
        if key < threshold {
            continue;
        }
        if key == threshold {
            if equals == 0 {
                continue;
            }
            equals -= 1;
        }
        *to = n;
        to = to.add(1);
    }
}

/// Counts the byte at `shift` over the keys whose higher bytes are those of `threshold`.
unsafe fn count_byte(scores: *const f32, N: usize, threshold: u32, shift: u32) {
    clear(byte_counts(), 256);
    for n in 0..N {
        let key = key_of(*scores.wrapping_add(n));
        if u64::from(key ^ threshold) >> (shift + 8) == 0 {
            *byte_counts().add((key >> shift) as usize & 255) += 1;
        }
    }
}
