//! Arithmetic on arrays, element by element: nothing here has an order.
use crate::float32::{in_fours, load, madd, madd1, store, STRIPE};
use crate::storage::Stored;
use core::arch::wasm32::*;

/// y[i] += factor * x[i], i < length: one term of a sequential sum.
#[inline(never)]
pub unsafe fn add_scaled<W: Stored>(mut y: *mut f32, mut x: *const W, factor: f32, length: usize) {
    let end = y.wrapping_add(length);
    let whole = if W::fits_units(factor) { y.wrapping_add(length & !(STRIPE - 1)) } else { y };
    let factors = f32x4_splat(factor * W::UNIT);
    while y < whole {
        for q in 0..4 {
            let at = y.add(4 * q);
            store(at, madd(load(at), factors, W::quad(x, q)));
        }
        y = y.add(STRIPE);
        x = x.add(STRIPE);
    }
    while y < end {
        *y = madd1(*y, factor, W::one(x));
        y = y.add(1);
        x = x.add(1);
    }
}

/// y[i] = x[i], i < length.
pub unsafe fn widen_array<W: Stored>(mut y: *mut f32, mut x: *const W, length: usize) {
    let (whole, end) = (y.wrapping_add(length & !7), y.wrapping_add(length));
    while y < whole {
        store(y, W::in_units(W::quad(x, 0)));
        store(y.add(4), W::in_units(W::quad(x, 1)));
        y = y.add(8);
        x = x.add(8);
    }
    while y < end {
        *y = W::one(x);
        y = y.add(1);
        x = x.add(1);
    }
}

/// Whether all numbers of x [T, width] stay finite in units of W.
pub unsafe fn all_fit_units<W: Stored>(x: *const f32, T: usize, width: usize) -> bool {
    let fits = |t: usize| largest_size(x.wrapping_add(t * width), width) * W::UNIT < f32::INFINITY;
    W::UNIT == 1.0 || (0..T).all(fits)
}

/// The largest |x[i]|, i < length; +0 for none, NaN if one is NaN.
#[inline(never)]
pub unsafe fn largest_size(mut x: *const f32, length: usize) -> f32 {
    let (whole, end) = (x.wrapping_add(length & !3), x.wrapping_add(length));
    let mut most = i32x4_splat(0);
    while x < whole {
        most = larger_sizes(most, load(x));
        x = x.add(4);
    }
    while x < end {
        most = larger_sizes(most, v128_load32_zero(x.cast()));
        x = x.add(1);
    }
    f32x4_extract_lane::<0>(largest_lane(most))
}

/// The larger of `most` and |x|: numbers without a sign are in the order of their bits, NaN behind all others.
#[inline(always)]
pub fn larger_sizes(most: v128, x: v128) -> v128 {
    i32x4_max(most, v128_and(x, i32x4_splat(i32::MAX)))
}

/// The largest of four sizes, four times.
#[inline(always)]
pub fn largest_lane(x: v128) -> v128 {
    let two = i32x4_max(x, i32x4_shuffle::<2, 3, 0, 1>(x, x));
    i32x4_max(two, i32x4_shuffle::<1, 0, 3, 2>(two, two))
}

/// y[i] = a[i] + b[i], i < length; y may be a.
#[inline(never)]
pub unsafe fn add_arrays(y: *mut f32, a: *const f32, b: *const f32, length: usize) {
    in_fours(
        length,
        |i| store(y.wrapping_add(i), f32x4_add(load(a.wrapping_add(i)), load(b.wrapping_add(i)))),
        |i| *y.wrapping_add(i) = *a.wrapping_add(i) + *b.wrapping_add(i),
    );
}

/// y[i] = x[i] * factor, i < length; y may be x.
#[inline(never)]
pub unsafe fn scale_array(y: *mut f32, x: *const f32, factor: f32, length: usize) {
    let factors = f32x4_splat(factor);
    in_fours(
        length,
        |i| store(y.wrapping_add(i), f32x4_mul(load(x.wrapping_add(i)), factors)),
        |i| *y.wrapping_add(i) = *x.wrapping_add(i) * factor,
    );
}

/// y[i] /= divisor, i < length.
#[inline(never)]
pub unsafe fn divide_array(y: *mut f32, divisor: f32, length: usize) {
    let divisors = f32x4_splat(divisor);
    in_fours(
        length,
        |i| store(y.wrapping_add(i), f32x4_div(load(y.wrapping_add(i)), divisors)),
        |i| *y.wrapping_add(i) /= divisor,
    );
}
