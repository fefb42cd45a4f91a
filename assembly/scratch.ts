/**
 * The memory kernels work in: the lowest addresses, below every buffer. A kernel owns its piece while it runs and leaves
 * nothing in it for the next call. The module has no data of its own that could stand here (a law looks).
 *
 * (memory.data would reserve the same, but stores as many zeros in the binary.)
 */

/** The longest context an attention kernel takes, as in src/ops/attention.ts. */
const LONGEST_CONTEXT: usize = 8192

/** linear_tile: a block's accumulators, [tile 48][group 4][token 2][row 4] f32x4. Address 0 is null. */
export const accumulators: usize = 64
/** A packed block of a product's left matrix, 262144 numbers. */
export const packedLeft: usize = accumulators + 48 * 512
/** A packed block of a product's right matrix, 65536 numbers. */
export const packedRight: usize = packedLeft + 262144 * 4
/** linear_tile: what four rows have past their last whole stripe, [15, 4]. */
export const rowTails: usize = packedRight + 65536 * 4
/** outer_product: a tile that crosses the edge, [4, 8]. */
export const edgeTile: usize = rowTails + 16 * 16
/** attention: the weights of one query, [LONGEST_CONTEXT]. */
export const weights: usize = edgeTile + 4 * 8 * 4
/** attention_backward: the gradients of one query's scores, [LONGEST_CONTEXT]. */
export const scoreGradients: usize = weights + LONGEST_CONTEXT * 4
/** weighted_rows: where the rows of a group stand, [8]. */
export const addresses: usize = scoreGradients + LONGEST_CONTEXT * 4
/** weighted_rows: what the rows of a group are multiplied by, [8]. */
export const factors: usize = addresses + 8 * 4
/** top_k: how often each byte occurs, [256]. */
export const byteCounts: usize = factors + 8 * 4
/** storage: a mask, [4] i32. */
export const halfPlaces: usize = byteCounts + 256 * 4
/** storage: a factor, [4]. */
export const halfUnits: usize = halfPlaces + 16

/** The int8 ops: numbers rounded to int16, [524288] i16. */
export const quantized: usize = halfUnits + 16
/** The int8 ops: the step of each token of a block, [64]. */
export const tokenSteps: usize = quantized + 524288 * 2
/** linear_i8: sums of a tile, [token 2][row 4] i32. */
export const integerSums: usize = tokenSteps + 64 * 4

/** Where the memory that kernels do not use begins: buffers go from here on. */
export const heap_base: usize = integerSums + 32
