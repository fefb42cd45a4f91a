//! Exponentials of a row, each shifted by the row's largest number: what softmax, log-sum-exp and attention are made of.
//!
//! No number is above the largest, so e^x is needed for x <= 0 and NaN only, which takes half the steps of `exp4`
//! (float32.rs) to the same bits: a number below -104, whose power is 0, is raised to it, and the power of two is one
//! product with what is near enough to 1, then one with 2^-32, which alone may round.
//!
//! The constants are read from memory. Engines build a constant vector anew wherever the code names it, and a loop that
//! names fourteen spends more time on them than on its arithmetic (bench/README.md).
use crate::elementwise::divide_array;
use crate::float32::{
    largest, load, store, striped, sum, EXPONENTIAL, LN2_HIGH, LN2_LOW, LOG2_E, ROUNDER, STRIPE,
};
use crate::scratch::{constant, exponential_constants};
use core::arch::wasm32::*;

/// y = softmax(x) of one row; y may be x.
#[inline(never)]
pub unsafe fn softmax_row(y: *mut f32, x: *const f32, length: usize) {
    exponentials(y, x, largest(x, length), length);
    divide_array(y, sum(y, length), length);
}

/// y[i] = e^(x[i] - most), where no x[i] is above `most`; y may be x.
#[inline(never)]
pub unsafe fn exponentials(mut y: *mut f32, mut x: *const f32, most: f32, length: usize) {
    write_constants();
    let end = x.wrapping_add(length);
    let stripes = x.wrapping_add(length & !(STRIPE - 1));
    let whole = x.wrapping_add(length & !3);
    let shifts = f32x4_splat(most);
    while x < stripes {
        // Four chains of operations go step by step: each waits for its own last result, and a processor does not look far
        // enough ahead to find the next one by itself.
        let shifted = [0, 1, 2, 3].map(|q| f32x4_sub(load(x.add(4 * q)), shifts));
        let powers = power(shifted);
        for q in 0..4 {
            store(y.add(4 * q), powers[q]);
        }
        y = y.add(STRIPE);
        x = x.add(STRIPE);
    }
    while x < whole {
        store(y, power([f32x4_sub(load(x), shifts)])[0]);
        y = y.add(4);
        x = x.add(4);
    }
    while x < end {
        *y = power1(*x - most);
        y = y.add(1);
        x = x.add(1);
    }
}

/// Striped sum of e^(x[i] - most), where no x[i] is above `most`.
#[inline(never)]
pub unsafe fn sum_exponentials(x: *const f32, most: f32, length: usize) -> f32 {
    write_constants();
    let shifts = f32x4_splat(most);
    let four = |[x]: [v128; 1]| power([f32x4_sub(x, shifts)])[0];
    striped([x], length, four, |[x]| power1(x - most))
}

/// Where each constant stands among those of scratch.rs; EXPONENTIAL ends in front of the last three.
const LEAST: usize = 0;
const TO_LOG2: usize = 1;
const TO_INTEGER: usize = 2;
const HIGH: usize = 3;
const LOW: usize = 4;
const POLYNOMIAL: usize = 5;
const ONE: usize = 11;
const EXPONENT: usize = 12;
const SMALL: usize = 13;

/// Writes what `power` reads.
pub unsafe fn write_constants() {
    let to = exponential_constants();
    *to.add(LEAST) = f32x4_splat(-104.0);
    *to.add(TO_LOG2) = f32x4_splat(LOG2_E);
    *to.add(TO_INTEGER) = f32x4_splat(ROUNDER); // the integer then stands in the low bits
    *to.add(HIGH) = f32x4_splat(LN2_HIGH);
    *to.add(LOW) = f32x4_splat(LN2_LOW);
    for i in 0..EXPONENTIAL.len() {
        *to.add(POLYNOMIAL + i) = f32x4_splat(EXPONENTIAL[i]);
    }
    *to.add(ONE) = f32x4_splat(1.0);
    *to.add(EXPONENT) = i32x4_splat(127 + 32); // the exponent of 2^32
    *to.add(SMALL) = f32x4_splat(2.3283064365386963e-10); // 2^-32
}

/// e^x of N times four lanes, x <= 0 or NaN, once `write_constants` has been called.
#[inline(always)]
pub unsafe fn power<const N: usize>(x: [v128; N]) -> [v128; N] {
    let of = |place: usize| constant(exponential_constants().add(place));
    let mut k = of(LEAST);
    let v = x.map(|x| f32x4_pmax(x, k)); // x < -104 ? -104 : x
    k = of(TO_LOG2);
    let mut n = v.map(|v| f32x4_mul(v, k));
    k = of(TO_INTEGER);
    let rounded = n.map(|n| f32x4_add(n, k));
    n = rounded.map(|rounded| f32x4_sub(rounded, k));
    let mut r = v;
    for place in [HIGH, LOW] {
        k = of(place);
        for i in 0..N {
            r[i] = f32x4_sub(r[i], f32x4_mul(n[i], k));
        }
    }
    let mut p = [of(POLYNOMIAL); N];
    for place in POLYNOMIAL + 1..ONE {
        k = of(place);
        for i in 0..N {
            p[i] = f32x4_add(f32x4_mul(p[i], r[i]), k);
        }
    }
    for i in 0..N {
        p[i] = f32x4_add(f32x4_mul(p[i], f32x4_mul(r[i], r[i])), r[i]);
    }
    k = of(ONE);
    p = p.map(|p| f32x4_add(p, k));
    k = of(EXPONENT);
    for i in 0..N {
        p[i] = f32x4_mul(p[i], i32x4_shl(i32x4_add(rounded[i], k), 23)); // 2^(n + 32)
    }
    k = of(SMALL);
    p.map(|p| f32x4_mul(p, k))
}

unsafe fn power1(x: f32) -> f32 {
    f32x4_extract_lane::<0>(power([f32x4_splat(x)])[0])
}
