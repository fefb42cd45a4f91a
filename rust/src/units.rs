//! Lists of chosen units, as every op that skips work takes them.

/// Ascending indices, 32 bits each, or null for all units.
pub type List = *const usize;

/// The unit at place `r` of a list; `r` itself where all units are chosen.
#[inline(always)]
pub unsafe fn unit_at(list: List, r: usize) -> usize {
    if list.is_null() {
        r
    } else {
        *list.wrapping_add(r)
    }
}

/// The key head, below G, of head h of H, as in src/ops/key_heads.ts. `key_heads` is [H] or null.
#[inline(always)]
pub unsafe fn key_head_of(key_heads: List, h: usize, G: usize, H: usize) -> usize {
    if key_heads.is_null() {
        (h as u64 * G as u64 / H as u64) as usize
    } else {
        *key_heads.wrapping_add(h)
    }
}

/// How many units are chosen of `all`, where a list would have `listed`.
pub fn chosen(list: List, listed: usize, all: usize) -> usize {
    if list.is_null() {
        all
    } else {
        listed
    }
}

/// An array from element `from` on; null stays null.
pub fn part_of<T>(array: *const T, from: usize) -> *const T {
    if array.is_null() {
        array
    } else {
        array.wrapping_add(from)
    }
}

/// Sets `count` numbers to +0.
#[inline(always)]
pub unsafe fn clear<T>(y: *mut T, count: usize) {
    y.write_bytes(0, count);
}

/// Sets to +0 what entries from..to of a list own of y: from the unit of the first to that of entry `to`, or to the end.
/// Whatever parts a list is cut into, together they own all U units, which hold `size` numbers each.
pub unsafe fn clear_owned(
    y: *mut f32, // [T, U, size]
    list: List,  // [count]
    T: usize,
    U: usize,
    size: usize,
    count: usize,
    from: usize,
    to: usize,
) {
    let first = if from == 0 { 0 } else { unit_at(list, from) };
    let end = if to == count { U } else { unit_at(list, to) };
    for t in 0..T {
        clear(y.wrapping_add((t * U + first) * size), (end - first) * size);
    }
}

/// y[i] += x[i] for chosen i.
pub unsafe fn add_chosen(y: *mut f32, x: *const f32, list: List, count: usize) {
    for r in 0..count {
        let i = unit_at(list, r);
        *y.wrapping_add(i) += *x.wrapping_add(i);
    }
}
