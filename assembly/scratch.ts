/**
 * The memory kernels work in: the first MiB, below the module's own data (asconfig.json: memoryBase) and below every
 * buffer. A kernel owns its piece while it runs and leaves nothing in it for the next call.
 *
 * (memory.data would reserve the same, but stores as many zeros in the binary.)
 */

/** The longest context an attention kernel takes, as in src/ops/attention.ts. */
const LONGEST_CONTEXT: usize = 8192

/** linear_tile: [group 4][pair 9] f32x4. Address 0 is null. */
export const accumulators: usize = 64
/** outer_product: a packed block of the left matrix, [128, 256]. */
export const packedLeft: usize = accumulators + 9 * 64
/** outer_product: a packed block of the right matrix, [256, 128]. */
export const packedRight: usize = packedLeft + 128 * 256 * 4
/** outer_product: a tile that crosses the edge, [4, 8]. */
export const edgeTile: usize = packedRight + 256 * 128 * 4
/** attention: the weights of one query, [LONGEST_CONTEXT]. */
export const weights: usize = edgeTile + 4 * 8 * 4
/** attention_backward: the gradients of one query's scores, [LONGEST_CONTEXT]. */
export const scoreGradients: usize = weights + LONGEST_CONTEXT * 4
/** top_k: how often each byte occurs, [256]. */
export const byteCounts: usize = scoreGradients + LONGEST_CONTEXT * 4

/** Where the memory that the module does not use begins. */
export const heap_base: usize = __heap_base
