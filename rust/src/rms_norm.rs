//! rms_norm: y = x * scale * weight per row, scale = 1 / sqrt(mean(x^2) + epsilon); the sum of squares is striped.
//! rms_norm_backward: its gradients. Formulas and order: src/ops/rms_norm.ts.
use crate::float32::{combine, in_fours, load, madd, madd1, sqrt, store, striped, zeros, STRIPE};
use core::arch::wasm32::*;

/// 1 over the root mean square of a row. The squares are rounded with relaxed SIMD too.
unsafe fn scale_of(x: *const f32, epsilon: f32, D: usize) -> f32 {
    let squares = striped([x], D, |[x]: [v128; 1]| f32x4_mul(x, x), |[x]: [f32; 1]| x * x);
    1.0 / sqrt(squares / D as f32 + epsilon)
}

#[no_mangle]
pub unsafe extern "C" fn rms_norm(
    y: *mut f32,        // [T, D]
    x: *const f32,      // [T, D]
    weight: *const f32, // [D]
    epsilon: f32,
    T: usize,
    D: usize,
) {
    for t in 0..T {
        let (x, y) = (x.wrapping_add(t * D), y.wrapping_add(t * D));
        let scale = scale_of(x, epsilon, D);
        let scales = f32x4_splat(scale);
        let four = |d: usize| {
            let normal = f32x4_mul(load(x.wrapping_add(d)), scales);
            store(y.wrapping_add(d), f32x4_mul(normal, load(weight.wrapping_add(d))));
        };
        let one = |d: usize| *y.wrapping_add(d) = *x.wrapping_add(d) * scale * *weight.wrapping_add(d);
        in_fours(D, four, one);
    }
}

#[no_mangle]
pub unsafe extern "C" fn rms_norm_backward(
    x_grad: *mut f32,      // [T, D]
    weight_grad: *mut f32, // [D] or null
    y_grad: *const f32,    // [T, D]
    x: *const f32,         // [T, D]
    weight: *const f32,    // [D]
    epsilon: f32,
    T: usize,
    D: usize,
) {
    for t in 0..T {
        let row = x.wrapping_add(t * D);
        let grad = y_grad.wrapping_add(t * D);
        let scale = scale_of(row, epsilon, D);
        let mean = sum_of_gn(grad, weight, row, scale, D) / D as f32;
        write_input_gradient(x_grad.wrapping_add(t * D), grad, weight, row, scale, mean, D);
        if !weight_grad.is_null() {
            add_weight_gradient(weight_grad, grad, row, scale, D);
        }
    }
}

/// Striped sum of g n, with g = y_grad * weight and n = x * scale.
unsafe fn sum_of_gn(
    mut y_grad: *const f32,
    mut weight: *const f32,
    mut x: *const f32,
    scale: f32,
    D: usize,
) -> f32 {
    let scales = f32x4_splat(scale);
    let (whole, end) = (x.wrapping_add(D & !(STRIPE - 1)), x.wrapping_add(D));
    let mut acc = [zeros(); 4];
    while x < whole {
        for q in 0..4 {
            let g = f32x4_mul(load(y_grad.add(4 * q)), load(weight.add(4 * q)));
            acc[q] = madd(acc[q], g, f32x4_mul(load(x.add(4 * q)), scales));
        }
        y_grad = y_grad.add(STRIPE);
        weight = weight.add(STRIPE);
        x = x.add(STRIPE);
    }
    let mut total = combine(acc);
    while x < end {
        total = madd1(total, *y_grad * *weight, *x * scale);
        y_grad = y_grad.add(1);
        weight = weight.add(1);
        x = x.add(1);
    }
    total
}

/// x_grad = scale * (g - n * mean).
unsafe fn write_input_gradient(
    x_grad: *mut f32,
    y_grad: *const f32,
    weight: *const f32,
    x: *const f32,
    scale: f32,
    mean: f32,
    D: usize,
) {
    let (scales, means) = (f32x4_splat(scale), f32x4_splat(mean));
    let four = |d: usize| {
        let g = f32x4_mul(load(y_grad.wrapping_add(d)), load(weight.wrapping_add(d)));
        let along = f32x4_mul(f32x4_mul(load(x.wrapping_add(d)), scales), means);
        store(x_grad.wrapping_add(d), f32x4_mul(scales, f32x4_sub(g, along)));
    };
    let one = |d: usize| {
        let g = *y_grad.wrapping_add(d) * *weight.wrapping_add(d);
        *x_grad.wrapping_add(d) = scale * (g - *x.wrapping_add(d) * scale * mean);
    };
    in_fours(D, four, one);
}

/// weight_grad += y_grad n.
unsafe fn add_weight_gradient(
    weight_grad: *mut f32,
    y_grad: *const f32,
    x: *const f32,
    scale: f32,
    D: usize,
) {
    let scales = f32x4_splat(scale);
    let four = |d: usize| {
        let to = weight_grad.wrapping_add(d);
        let normal = f32x4_mul(load(x.wrapping_add(d)), scales);
        store(to, f32x4_add(load(to), f32x4_mul(load(y_grad.wrapping_add(d)), normal)));
    };
    let one =
        |d: usize| *weight_grad.wrapping_add(d) += *y_grad.wrapping_add(d) * (*x.wrapping_add(d) * scale);
    in_fours(D, four, one);
}
