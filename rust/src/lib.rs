//! The kernels of assembly/ once more, in Rust: every op of the catalogue under its name, with the same parameters, the
//! same order of additions and the same bits. What a function computes is stated by src/ops/, and how by assembly/; the files
//! here have the names of those there.
//!
//! Arrays are addresses, sizes whole numbers, and a list of chosen units is null where all are chosen. Nothing allocates,
//! nothing panics, nothing is imported but the memory and where in it this instance has
//! its scratch (scratch.rs).
//!
//! Where arrays begin and end is the caller's word (src/backends/checked_ops.ts checks it), so every function is unsafe in the same
//! way, and none says so again.
#![no_std]
// Sizes are the letters of the catalogue: T tokens, O outputs, I inputs.
#![allow(non_snake_case)]
// Kernels take what the rows of the catalogue list.
#![allow(clippy::too_many_arguments)]
// Four accumulators are walked by number, side by side with four places of an array.
#![allow(clippy::needless_range_loop)]
#![allow(clippy::missing_safety_doc)]

mod adamw_step;
mod add;
mod attention;
mod attention_i8;
mod attention_i8_tile;
mod attention_stream;
mod attention_tile;
mod bce;
mod byte_rows;
mod byte_values;
mod cache_append;
mod cache_append_i8;
mod cap_scores;
mod cholesky;
mod copy_interleaved_rows;
mod copy_rows;
mod cross_entropy;
mod elementwise;
mod embedding;
mod exp;
mod float32;
mod gates;
mod int16_pairs;
mod int4;
mod layer_norm;
mod linear;
mod linear_backward;
mod linear_i4;
mod linear_i8;
mod linear_input_major;
mod linear_input_major_i4;
mod linear_input_major_i8;
mod linear_tile;
mod log_sum_exp;
mod mask_units;
mod min_max;
mod mse;
mod narrow;
mod nonzero;
mod outer_product;
mod quantize_rows;
mod quantized_steps;
mod relu;
mod rms_norm;
mod rotary;
mod scratch;
mod soft_cap;
mod softmax;
mod softmax_row;
mod storage;
mod sum;
mod sum_squares;
mod top_k;
mod transpose;
mod transpose_16;
mod units;
mod weighted_rows;

/// The language wants one; nothing here calls it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
