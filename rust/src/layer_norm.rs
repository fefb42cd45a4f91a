//! layer_norm: y = (x - mean) * scale * weight + bias per row, scale = 1 / sqrt(variance + epsilon); striped sums.
//! layer_norm_backward: its gradients. Formulas and order: src/ops/layer_norm.ts.
use crate::elementwise::add_arrays;
use crate::float32::{dot, in_fours, load, sqrt, store, striped, sum};
use core::arch::wasm32::*;

/// The mean of a row, and what its numbers less that are multiplied by.
#[derive(Clone, Copy)]
struct Moments {
    mean: f32,
    scale: f32,
}

impl Moments {
    unsafe fn of(x: *const f32, epsilon: f32, D: usize) -> Moments {
        let mean = sum(x, D) / D as f32;
        let centre = f32x4_splat(mean);
        let four = |[x]: [v128; 1]| {
            let deviation = f32x4_sub(x, centre);
            f32x4_mul(deviation, deviation)
        };
        let one = |[x]: [f32; 1]| (x - mean) * (x - mean);
        let variance = striped([x], D, four, one) / D as f32;
        Moments { mean, scale: 1.0 / sqrt(variance + epsilon) }
    }

    /// (x - mean) * scale of four numbers.
    #[inline(always)]
    fn normal4(self, x: v128) -> v128 {
        f32x4_mul(f32x4_sub(x, f32x4_splat(self.mean)), f32x4_splat(self.scale))
    }

    #[inline(always)]
    fn normal1(self, x: f32) -> f32 {
        (x - self.mean) * self.scale
    }
}

#[no_mangle]
pub unsafe extern "C" fn layer_norm(
    y: *mut f32,        // [T, D]
    x: *const f32,      // [T, D]
    weight: *const f32, // [D]
    bias: *const f32,   // [D]
    epsilon: f32,
    T: usize,
    D: usize,
) {
    for t in 0..T {
        let row = x.wrapping_add(t * D);
        normalise(y.wrapping_add(t * D), row, weight, bias, Moments::of(row, epsilon, D), D);
    }
}

unsafe fn normalise(
    y: *mut f32,
    x: *const f32,
    weight: *const f32,
    bias: *const f32,
    moments: Moments,
    D: usize,
) {
    let four = |d: usize| {
        let scaled = f32x4_mul(moments.normal4(load(x.wrapping_add(d))), load(weight.wrapping_add(d)));
        store(y.wrapping_add(d), f32x4_add(scaled, load(bias.wrapping_add(d))));
    };
    let one = |d: usize| {
        let scaled = moments.normal1(*x.wrapping_add(d)) * *weight.wrapping_add(d);
        *y.wrapping_add(d) = scaled + *bias.wrapping_add(d);
    };
    in_fours(D, four, one);
}

#[no_mangle]
pub unsafe extern "C" fn layer_norm_backward(
    x_grad: *mut f32,      // [T, D]
    weight_grad: *mut f32, // [D] or null
    bias_grad: *mut f32,   // [D] or null
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
        let moments = Moments::of(row, epsilon, D);
        write_input_gradient(x_grad.wrapping_add(t * D), grad, weight, row, moments, D);
        if !weight_grad.is_null() {
            add_weight_gradient(weight_grad, grad, row, moments, D);
        }
        if !bias_grad.is_null() {
            add_arrays(bias_grad, bias_grad, grad, D);
        }
    }
}

/// x_grad = scale * ((g - mean(g)) - n * mean(g n)), with g = y_grad * weight and n = (x - mean) * scale.
unsafe fn write_input_gradient(
    x_grad: *mut f32,
    y_grad: *const f32,
    weight: *const f32,
    x: *const f32,
    moments: Moments,
    D: usize,
) {
    let g_mean = dot(y_grad, weight, D) / D as f32;
    // Both factors of g n are rounded before they meet.
    let four = |[y_grad, weight, x]: [v128; 3]| f32x4_mul(f32x4_mul(y_grad, weight), moments.normal4(x));
    let one = |[y_grad, weight, x]: [f32; 3]| (y_grad * weight) * moments.normal1(x);
    let gn_mean = striped([y_grad, weight, x], D, four, one) / D as f32;

    let (g_means, gn_means) = (f32x4_splat(g_mean), f32x4_splat(gn_mean));
    let four = |d: usize| {
        let g = f32x4_mul(load(y_grad.wrapping_add(d)), load(weight.wrapping_add(d)));
        let normal = moments.normal4(load(x.wrapping_add(d)));
        let centred = f32x4_sub(f32x4_sub(g, g_means), f32x4_mul(normal, gn_means));
        store(x_grad.wrapping_add(d), f32x4_mul(f32x4_splat(moments.scale), centred));
    };
    let one = |d: usize| {
        let g = *y_grad.wrapping_add(d) * *weight.wrapping_add(d);
        let normal = moments.normal1(*x.wrapping_add(d));
        *x_grad.wrapping_add(d) = moments.scale * (g - g_mean - normal * gn_mean);
    };
    in_fours(D, four, one);
}

/// weight_grad += y_grad n.
unsafe fn add_weight_gradient(
    weight_grad: *mut f32,
    y_grad: *const f32,
    x: *const f32,
    moments: Moments,
    D: usize,
) {
    let four = |d: usize| {
        let to = weight_grad.wrapping_add(d);
        let normal = moments.normal4(load(x.wrapping_add(d)));
        store(to, f32x4_add(load(to), f32x4_mul(load(y_grad.wrapping_add(d)), normal)));
    };
    let one = |d: usize| {
        *weight_grad.wrapping_add(d) += *y_grad.wrapping_add(d) * moments.normal1(*x.wrapping_add(d))
    };
    in_fours(D, four, one);
}
