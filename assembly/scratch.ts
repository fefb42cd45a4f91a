/**
 * The memory kernels work in: a range below every buffer. A kernel owns its piece while it runs and leaves nothing in it
 * for the next call. The module has no data of its own that could stand here (a law looks).
 *
 * Where the range begins is given to each instance, so that instances which share a memory, one per thread, do not work
 * in each other's. (memory.data would reserve the same, but at one place for all, and stores as many zeros in the binary.)
 */

/** Imported as `scratch.start`: a multiple of 64, the first byte of this instance's range. */
declare const start: usize

/** The longest context an attention kernel takes, as in src/ops/attention.ts. */
const LONGEST_CONTEXT: usize = 8192

// Each piece ends where the next begins. Address 0 is null, so nothing begins there.
const ACCUMULATORS: usize = 64
const PACKED_LEFT: usize = ACCUMULATORS + 48 * 512
const PACKED_RIGHT: usize = PACKED_LEFT + 262144 * 4
const ROW_TAILS: usize = PACKED_RIGHT + 65536 * 4
const EDGE_TILE: usize = ROW_TAILS + 16 * 16
const WEIGHTS: usize = EDGE_TILE + 4 * 8 * 4
const SCORE_GRADIENTS: usize = WEIGHTS + LONGEST_CONTEXT * 4
const ADDRESSES: usize = SCORE_GRADIENTS + LONGEST_CONTEXT * 4
const FACTORS: usize = ADDRESSES + 8 * 4
const BYTE_COUNTS: usize = FACTORS + 8 * 4

/** Bytes of the range, a multiple of 64. */
export const scratch_size: usize = (BYTE_COUNTS + 256 * 4 + 63) & ~63

/** linear_tile: a block's accumulators, [tile 48][group 4][token 2][row 4] f32x4. */
export function accumulators(): usize {
  return start + ACCUMULATORS
}

/** A packed block of a product's left matrix, 262144 numbers. */
export function packedLeft(): usize {
  return start + PACKED_LEFT
}

/** A packed block of a product's right matrix, 65536 numbers. */
export function packedRight(): usize {
  return start + PACKED_RIGHT
}

/** linear_tile: what four rows have past their last whole stripe, [15, 4]. */
export function rowTails(): usize {
  return start + ROW_TAILS
}

/** outer_product: a tile that crosses the edge, [4, 8]. */
export function edgeTile(): usize {
  return start + EDGE_TILE
}

/** attention: the weights of one query, [LONGEST_CONTEXT]. */
export function attentionWeights(): usize {
  return start + WEIGHTS
}

/** attention_backward: the gradients of one query's scores, [LONGEST_CONTEXT]. */
export function scoreGradients(): usize {
  return start + SCORE_GRADIENTS
}

/** weighted_rows: where the rows of a group stand, [8]. */
export function rowAddresses(): usize {
  return start + ADDRESSES
}

/** weighted_rows: what the rows of a group are multiplied by, [8]. */
export function rowFactors(): usize {
  return start + FACTORS
}

/** top_k: how often each byte occurs, [256]. */
export function byteCounts(): usize {
  return start + BYTE_COUNTS
}
