/**
 * The module: every op of the catalogue, in its order, under its name. Arguments are those of the reference function:
 * arrays as byte addresses (0 for null), sizes as i32, scalars as f32. The memory and the address of this instance's scratch
 * (scratch.ts) are imported. Nothing allocates.
 */
export { embedding, embedding_bf16, embedding_f16, embedding_i8, embedding_backward } from './embedding'
export { linear, linear_bf16, linear_f16 } from './linear'
export { linear_i8 } from './linear_i8'
export { linear_i4 } from './linear_i4'
export { linear_input_major, linear_input_major_bf16, linear_input_major_f16 } from './linear_input_major'
export { linear_input_major_i8 } from './linear_input_major_i8'
export { linear_input_major_i4 } from './linear_input_major_i4'
export { linear_backward_weight, linear_backward_bias } from './linear_backward'
export { layer_norm, layer_norm_backward } from './layer_norm'
export { rms_norm, rms_norm_backward } from './rms_norm'
export { rotary, rotary_backward } from './rotary'
export { cache_append } from './cache_append'
export { cache_append_i8 } from './cache_append_i8'
export { attention } from './attention'
export { attention_backward } from './attention_backward'
export { attention_i8 } from './attention_i8'
export { relu, relu_backward } from './relu'
export { relu_gate, relu_gate_backward } from './gates'
export { silu_gate, silu_gate_backward } from './gates'
export { gelu_tanh_gate, gelu_tanh_gate_backward } from './gates'
export { soft_cap, soft_cap_backward } from './soft_cap'
export { add } from './add'
export { mask_units } from './mask_units'
export { exp, log } from './exp'
export { softmax, softmax_backward } from './softmax'
export { log_sum_exp, log_sum_exp_backward } from './log_sum_exp'
export { cross_entropy, cross_entropy_backward } from './cross_entropy'
export { mse, mse_backward } from './mse'
export { bce, bce_backward } from './bce'
export { min_max } from './min_max'
export { sum } from './sum'
export { sum_squares } from './sum_squares'
export { adamw_step } from './adamw_step'
export { top_k } from './top_k'
export { transpose } from './transpose'
export { cholesky, solve_cholesky } from './cholesky'
export { transpose_bf16, transpose_f16 } from './transpose_16'
export { narrow_bf16, narrow_f16 } from './narrow'
export { quantize_rows } from './quantize_rows'
export { copy_rows, copy_rows_bf16, copy_rows_f16, copy_rows_i8, copy_rows_i4 } from './copy_rows'
export { copy_interleaved_rows } from './copy_interleaved_rows'

/**
 * Parts of ops that several threads share: the arguments of the op, then which part (src/backends/wasm/split.ts). Parts
 * write apart from each other, and together do what the op does.
 */
export { linear_part, linear_bf16_part, linear_f16_part } from './linear'
export { linear_i8_part } from './linear_i8'
export { linear_i4_part } from './linear_i4'
export {
  linear_input_major_part,
  linear_input_major_bf16_part,
  linear_input_major_f16_part,
} from './linear_input_major'
export { linear_input_major_i8_part } from './linear_input_major_i8'
export { linear_input_major_i4_part } from './linear_input_major_i4'
export { linear_backward_weight_part } from './linear_backward'
export { attention_part } from './attention'
export { solve_cholesky_part } from './cholesky'
export { attention_i8_part } from './attention_i8'

/** How much memory of its own an instance works in, in bytes. */
export { scratch_size } from './scratch'
