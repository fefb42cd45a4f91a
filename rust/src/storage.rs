//! How weights are stored, as a type: `dot::<Bf16>` is `dot` over weights in bf16. f32, bf16 and f16 are widened to float32
//! as they are read; widening is exact.
//!
//! A stored f16 whose bits are moved to their places in a float32 stands there as 2^-112 times itself, subnormals included.
//! What `quad` reads is therefore in units: numbers = in_units(quads). A product may take its factor in units instead, as
//! long as that stays finite (`fits_units`): the bits are the same, because both factors are exact.
use crate::scratch::{constant, half_places, half_units};
use core::arch::wasm32::*;

/// A way to store float32.
pub trait Stored: Copy {
    /// What a number in units has to be multiplied by.
    const UNIT: f32;

    /// Has to be called before anything is read.
    unsafe fn prepare() {}

    /// One number.
    unsafe fn one(at: *const Self) -> f32;

    /// Numbers 4q..4q + 4 of those at an address, in units, q < 4.
    unsafe fn quad(at: *const Self, q: usize) -> v128;

    /// What is in units as numbers, or numbers in units: times the unit.
    unsafe fn in_units(x: v128) -> v128 {
        x
    }

    /// Whether a number may be taken in units: all but finite ones that would not stay finite.
    fn fits_units(x: f32) -> bool {
        (x * Self::UNIT).abs() < f32::INFINITY || !(x.abs() < f32::INFINITY)
    }
}

impl Stored for f32 {
    const UNIT: f32 = 1.0;

    #[inline(always)]
    unsafe fn one(at: *const f32) -> f32 {
        *at
    }

    #[inline(always)]
    unsafe fn quad(at: *const f32, q: usize) -> v128 {
        v128_load(at.add(4 * q).cast())
    }
}

/// bfloat16: the upper half of a float32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Stored for Bf16 {
    const UNIT: f32 = 1.0;

    #[inline(always)]
    unsafe fn one(at: *const Bf16) -> f32 {
        f32::from_bits(u32::from((*at).0) << 16)
    }

    #[inline(always)]
    unsafe fn quad(at: *const Bf16, q: usize) -> v128 {
        let eight = v128_load(at.add(q / 2 * 8).cast());
        let zero = i16x8_splat(0);
        if q % 2 == 0 {
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, eight)
        } else {
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, eight)
        }
    }
}

/// Half precision of IEEE 754.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct F16(i16);

/// Sign and magnitude of an f16 in their places of a float32.
const PLACES: u32 = 0x8fff_e000;

impl Stored for F16 {
    /// 2^112: the biases of the exponents are 15 and 127.
    const UNIT: f32 = 5.192296858534828e33;

    // Engines make a constant vector anew wherever it is used; a load is less.
    unsafe fn prepare() {
        *half_places() = u32x4_splat(PLACES);
        *half_units() = f32x4_splat(F16::UNIT);
    }

    #[inline(always)]
    unsafe fn one(at: *const F16) -> f32 {
        f32::from_bits(((i32::from((*at).0) << 13) as u32) & PLACES) * F16::UNIT
    }

    #[inline(always)]
    unsafe fn quad(at: *const F16, q: usize) -> v128 {
        let four = i32x4_load_extend_i16x4(at.add(4 * q).cast());
        v128_and(i32x4_shl(four, 13), constant(half_places()))
    }

    #[inline(always)]
    unsafe fn in_units(x: v128) -> v128 {
        f32x4_mul(x, constant(half_units()))
    }
}
