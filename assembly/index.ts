/**
 * The module: every op of the catalogue, in its order, under its name. Arguments are those of the reference function:
 * arrays as byte addresses (0 for null), sizes as i32, scalars as f32. The memory is imported, and where in it this instance has
 * its scratch (scratch.ts); nothing here allocates.
 */
export { embedding, embedding_backward } from './embedding'
export { linear } from './linear'
export { linear_input_major } from './linear_input_major'
export { linear_backward_weight, linear_backward_bias } from './linear_backward'
export { layer_norm, layer_norm_backward } from './layer_norm'
export { cache_append } from './cache_append'
export { attention, attention_backward } from './attention'
export { relu, relu_backward } from './relu'
export { add } from './add'
export { mask_units } from './mask_units'
export { exp, log } from './exp'
export { softmax, softmax_backward } from './softmax'
export { log_sum_exp, log_sum_exp_backward } from './log_sum_exp'
export { cross_entropy, cross_entropy_backward } from './cross_entropy'
export { mse, mse_backward } from './mse'
export { bce, bce_backward } from './bce'
export { min_max } from './min_max'
export { sum_squares } from './sum_squares'
export { adamw_step } from './adamw_step'
export { top_k } from './top_k'
export { transpose } from './transpose'

/**
 * Parts of ops that several threads share: the arguments of the op, then which part (src/backends/wasm/split.ts). Parts
 * write apart from each other, and together do what the op does.
 */
export { linear_part } from './linear'
export { linear_input_major_part } from './linear_input_major'
export { linear_backward_weight_part } from './linear_backward'
export { attention_part } from './attention'

/** How much memory of its own an instance works in, in bytes. */
export { scratch_size } from './scratch'
