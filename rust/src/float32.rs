//! The float contract in SIMD: the same additions in the same order as src/ops/float32.ts, so every result has the same
//! bits. Products are rounded before they are added: the compiler fuses nothing that it was not asked to.
//!
//! Built with relaxed SIMD, `madd` and `madd1` differ, and nothing else: chains of multiply-adds, in the same order, whose
//! products the hardware may leave unrounded.
//!
//! Lengths count numbers. Ends are `wrapping_add`: an array may be longer than the half of the memory that `add` is for.
use crate::storage::Stored;
use core::arch::wasm32::*;

/// Numbers of a stripe: four accumulators of four lanes.
pub const STRIPE: usize = 16;

/// Four numbers at an address, or what else fills 16 bytes.
#[inline(always)]
pub unsafe fn load<T>(at: *const T) -> v128 {
    v128_load(at.cast())
}

/// Writes what fills 16 bytes.
#[inline(always)]
pub unsafe fn store<T>(at: *mut T, x: v128) {
    v128_store(at.cast(), x);
}

/// The number at an address in each lane.
#[inline(always)]
pub unsafe fn splat_at<T>(at: *const T) -> v128 {
    v128_load32_splat(at.cast())
}

/// Four lanes of +0.
#[inline(always)]
pub fn zeros() -> v128 {
    f32x4_splat(0.0)
}

/// Four numbers at a time, then one at a time: `four` at every fourth index as long as four are left, `one` at the rest.
#[inline(always)]
pub fn in_fours(length: usize, mut four: impl FnMut(usize), mut one: impl FnMut(usize)) {
    let whole = length & !3;
    let mut i = 0;
    while i < whole {
        four(i);
        i += 4;
    }
    while i < length {
        one(i);
        i += 1;
    }
}

/// The square root of one number.
pub fn sqrt(x: f32) -> f32 {
    f32x4_extract_lane::<0>(f32x4_sqrt(f32x4_splat(x)))
}

/// sum + a * b of four lanes: the product rounded, or with relaxed SIMD as the hardware likes it.
#[inline(always)]
pub fn madd(sum: v128, a: v128, b: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, sum);
    #[cfg(not(target_feature = "relaxed-simd"))]
    return f32x4_add(sum, f32x4_mul(a, b));
}

/// `madd` of one number, with the bits it would have as a lane.
#[inline(always)]
pub fn madd1(sum: f32, a: f32, b: f32) -> f32 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_extract_lane::<0>(f32x4_relaxed_madd(f32x4_splat(a), f32x4_splat(b), f32x4_splat(sum)));
    #[cfg(not(target_feature = "relaxed-simd"))]
    return sum + a * b;
}

/// Four accumulators pairwise.
#[inline(always)]
pub fn add_pairwise(acc: [v128; 4]) -> v128 {
    f32x4_add(f32x4_add(acc[0], acc[1]), f32x4_add(acc[2], acc[3]))
}

/// The fixed tree: four accumulators pairwise, then their four lanes as (0 + 2) + (1 + 3).
#[inline(always)]
pub fn combine(acc: [v128; 4]) -> f32 {
    let v = add_pairwise(acc);
    (f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<2>(v))
        + (f32x4_extract_lane::<1>(v) + f32x4_extract_lane::<3>(v))
}

/// `combine` of four dots at once, of which each has its four accumulators added pairwise.
#[inline(always)]
pub fn combine_four(dots: [v128; 4]) -> v128 {
    // (0 + 2) and (1 + 3) of each, then their sum.
    let [a, b, c, d] = dots;
    let ab = f32x4_add(i32x4_shuffle::<0, 1, 4, 5>(a, b), i32x4_shuffle::<2, 3, 6, 7>(a, b));
    let cd = f32x4_add(i32x4_shuffle::<0, 1, 4, 5>(c, d), i32x4_shuffle::<2, 3, 6, 7>(c, d));
    f32x4_add(i32x4_shuffle::<0, 2, 4, 6>(ab, cd), i32x4_shuffle::<1, 3, 5, 7>(ab, cd))
}

/// Striped sum of what `four` makes of four numbers of each array, and `one` of one, over `length` places.
#[inline(always)]
pub unsafe fn striped<const N: usize>(
    mut arrays: [*const f32; N],
    length: usize,
    four: impl Fn([v128; N]) -> v128,
    one: impl Fn([f32; N]) -> f32,
) -> f32 {
    let (whole, end) = (arrays[0].wrapping_add(length & !(STRIPE - 1)), arrays[0].wrapping_add(length));
    let mut acc = [zeros(); 4];
    while arrays[0] < whole {
        let at = |q: usize| four(arrays.map(|array| load(array.add(4 * q))));
        // In words, and not a loop: the accumulators have to be registers, however long `four` is.
        acc = [
            f32x4_add(acc[0], at(0)),
            f32x4_add(acc[1], at(1)),
            f32x4_add(acc[2], at(2)),
            f32x4_add(acc[3], at(3)),
        ];
        arrays = arrays.map(|array| array.add(STRIPE));
    }
    let mut total = combine(acc);
    while arrays[0] < end {
        total += one(arrays.map(|array| *array));
        arrays = arrays.map(|array| array.add(1));
    }
    total
}

/// Striped sum of x[i], i < length.
#[inline(never)]
pub unsafe fn sum(x: *const f32, length: usize) -> f32 {
    striped([x], length, |[x]| x, |[x]| x)
}

/// Striped sum of x[i] * w[i], i < length.
#[inline(never)]
pub unsafe fn dot<W: Stored>(mut x: *const f32, mut w: *const W, length: usize) -> f32 {
    let (whole, end) = (x.wrapping_add(length & !(STRIPE - 1)), x.wrapping_add(length));
    let mut acc = [zeros(); 4];
    while x < whole {
        for q in 0..4 {
            acc[q] = madd(acc[q], load(x.add(4 * q)), W::in_units(W::quad(w, q)));
        }
        x = x.add(STRIPE);
        w = w.add(STRIPE);
    }
    let mut total = combine(acc);
    while x < end {
        total = madd1(total, *x, W::one(w));
        x = x.add(1);
        w = w.add(1);
    }
    total
}

/// Three times `dot`, of one array with three others, side by side. x is what is multiplied by the unit of W, and must stay
/// finite in units.
#[inline(always)]
pub unsafe fn dot_three<W: Stored>(mut x: *const f32, mut w: [*const W; 3], length: usize) -> [f32; 3] {
    let (whole, end) = (x.wrapping_add(length & !(STRIPE - 1)), x.wrapping_add(length));
    let mut acc = [[zeros(); 4]; 3];
    while x < whole {
        for q in 0..4 {
            let four = W::in_units(load(x.add(4 * q)));
            for row in 0..3 {
                acc[row][q] = madd(acc[row][q], four, W::quad(w[row], q));
            }
        }
        x = x.add(STRIPE);
        for row in &mut w {
            *row = row.add(STRIPE);
        }
    }
    let mut totals = [combine(acc[0]), combine(acc[1]), combine(acc[2])];
    while x < end {
        for row in 0..3 {
            totals[row] = madd1(totals[row], *x, W::one(w[row]));
            w[row] = w[row].add(1);
        }
        x = x.add(1);
    }
    totals
}

fn larger(x: f32, most: f32) -> f32 {
    if x > most {
        x
    } else {
        most
    }
}

/// The largest of x[i], i < length; -Infinity for none. NaN is passed over. Among zeros of both signs either may be
/// returned: every use subtracts it inside an exponential or adds a logarithm, where the sign is lost.
#[inline(never)]
pub unsafe fn largest(mut x: *const f32, length: usize) -> f32 {
    let (whole, end) = (x.wrapping_add(length & !(STRIPE - 1)), x.wrapping_add(length));
    let mut most = [f32x4_splat(f32::NEG_INFINITY); 4];
    while x < whole {
        for q in 0..4 {
            most[q] = f32x4_pmax(most[q], load(x.add(4 * q))); // pmax(most, x) is most < x ? x : most
        }
        x = x.add(STRIPE);
    }
    let four = f32x4_pmax(f32x4_pmax(most[0], most[1]), f32x4_pmax(most[2], most[3]));
    let mut most = larger(f32x4_extract_lane::<1>(four), f32x4_extract_lane::<0>(four));
    most = larger(f32x4_extract_lane::<2>(four), most);
    most = larger(f32x4_extract_lane::<3>(four), most);
    while x < end {
        most = larger(*x, most);
        x = x.add(1);
    }
    most
}

/// 1.5 * 2^23: adding and subtracting it rounds a small float32 to the nearest integer, ties to even.
pub const ROUNDER: f32 = 12582912.0;

/// 1 / ln 2.
pub const LOG2_E: f32 = 1.442_695_040_888_963_4;
/// ln 2, high part and low part.
pub const LN2_HIGH: f32 = 0.693359375;
pub const LN2_LOW: f32 = -2.121_944_400_546_905_8e-4;

/// The coefficients of e^r, the highest power first, down to that of r^2.
pub const EXPONENTIAL: [f32; 6] =
    [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1];

/// 2^n as float32 in each lane, -126 <= n <= 127.
fn powers_of_two(n: v128) -> v128 {
    i32x4_shl(i32x4_add(n, i32x4_splat(127)), 23)
}

/// e^x of four lanes, with the steps of src/ops/float32.ts. Lanes outside [-104, 89] are computed like the others, then
/// replaced by 0 and Infinity; NaN passes through the arithmetic.
#[inline(always)]
pub fn exp4(x: v128) -> v128 {
    let rounder = f32x4_splat(ROUNDER);
    let n = f32x4_sub(f32x4_add(f32x4_mul(x, f32x4_splat(LOG2_E)), rounder), rounder);
    let r = f32x4_sub(f32x4_sub(x, f32x4_mul(n, f32x4_splat(LN2_HIGH))), f32x4_mul(n, f32x4_splat(LN2_LOW)));
    let mut p = f32x4_splat(EXPONENTIAL[0]);
    for coefficient in &EXPONENTIAL[1..] {
        p = f32x4_add(f32x4_mul(p, r), f32x4_splat(*coefficient));
    }
    let e = f32x4_add(f32x4_add(f32x4_mul(p, f32x4_mul(r, r)), r), f32x4_splat(1.0));
    let whole = i32x4_trunc_sat_f32x4(n);
    let half = i32x4_shr(whole, 1);
    let y = f32x4_mul(f32x4_mul(e, powers_of_two(half)), powers_of_two(i32x4_sub(whole, half)));
    let infinite = v128_bitselect(f32x4_splat(f32::INFINITY), y, f32x4_gt(x, f32x4_splat(89.0)));
    v128_andnot(infinite, f32x4_lt(x, f32x4_splat(-104.0)))
}

/// e^x.
pub fn exp1(x: f32) -> f32 {
    f32x4_extract_lane::<0>(exp4(f32x4_splat(x)))
}

/// y[i] = e^(x[i] - shift), i < length; y may be x.
pub unsafe fn exponentials(y: *mut f32, x: *const f32, shift: f32, length: usize) {
    let shifts = f32x4_splat(shift);
    in_fours(
        length,
        |i| store(y.wrapping_add(i), exp4(f32x4_sub(load(x.wrapping_add(i)), shifts))),
        |i| *y.wrapping_add(i) = exp1(*x.wrapping_add(i) - shift),
    );
}

const SQRT_HALF: f32 = 0.707_106_77;

/// The coefficients of ln(1 + f), the highest power first.
const LOGARITHM: [f32; 9] = [
    7.0376836292e-2,
    -1.151461031e-1,
    1.167699874e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
];

/// ln x. 0 gives -Infinity, a negative number NaN.
#[inline(never)]
pub fn log1(mut x: f32) -> f32 {
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if x == f32::INFINITY {
        return f32::INFINITY;
    }
    let mut exponent = 0;
    if x < f32::MIN_POSITIVE {
        x *= 8388608.0; // a subnormal: scaled by 2^23 into the normal range, exactly
        exponent = -23;
    }
    let bits = x.to_bits();
    exponent += (bits >> 23) as i32 - 126;
    let mut f = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000); // in [0.5, 1)
    if f < SQRT_HALF {
        exponent -= 1;
        f = f + f - 1.0;
    } else {
        f -= 1.0;
    }
    let power = exponent as f32;
    let square = f * f;
    let mut p = LOGARITHM[0];
    for coefficient in &LOGARITHM[1..] {
        p = p * f + coefficient;
    }
    let mut y = p * f * square;
    y += power * LN2_LOW;
    y -= square * 0.5;
    f + y + power * LN2_HIGH
}
