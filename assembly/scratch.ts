/**
 * The memory kernels work in: a range below every buffer. A kernel owns its piece while it runs and leaves nothing in it
 * for the next call. The module has no data of its own that could be stored here (a law checks it).
 *
 * Each instance is given the start of its range, so that instances that share a memory, one per thread, have separate
 * ranges. (memory.data would reserve the same, but at one place for all, and stores as many zeros in the binary.)
 */

/** Imported as `scratch.start`: a multiple of 64, the first byte of this instance's range. */
declare const start: usize

/** The longest context an attention kernel takes, as in src/ops/attention.ts. */
export const LONGEST_CONTEXT: i32 = 32768

/** The longest sequence of `attention_backward`, as there. */
export const LONGEST_GRADIENT: i32 = 8192

/** Numbers of `attentionWeights`: eight queries over the longest context, or more over a shorter one. */
export const MOST_WEIGHTS: i32 = 8 * 32784

/** Numbers of `attentionRows`. */
export const MOST_ROWS: i32 = 16384

// Each piece ends where the next begins. Address 0 is null, so nothing begins there.
const ACCUMULATORS: usize = 64
const PACKED_LEFT: usize = ACCUMULATORS + 4 * 24 * 5 * 2 * 16
const PACKED_RIGHT: usize = PACKED_LEFT + 524288 * 4
const ROW_TAILS: usize = PACKED_RIGHT + (65536 + 128 * 16) * 4
const ROW_BIASES: usize = ROW_TAILS + 12 * 15 * 16
const EDGE_TILE: usize = ROW_BIASES + 12 * 16
const WEIGHTS: usize = EDGE_TILE + 6 * 16 * 4
const ATTENTION_ROWS: usize = WEIGHTS + MOST_WEIGHTS * 4
const SCORE_SLOPES: usize = ATTENTION_ROWS + MOST_ROWS * 4
const HEADS: usize = SCORE_SLOPES + LONGEST_GRADIENT * 4
const EXPONENTIAL_CONSTANTS: usize = HEADS + 8 * 4
const BLOCK_FACTORS: usize = EXPONENTIAL_CONSTANTS + 14 * 16
const ADDRESSES: usize = BLOCK_FACTORS + 3 * 64 * 2
const FACTORS: usize = ADDRESSES + 8 * 4
const BYTE_COUNTS: usize = FACTORS + 8 * 4

const HALF_PLACES: usize = BYTE_COUNTS + 256 * 4
const HALF_UNITS: usize = HALF_PLACES + 16
const QUANTIZED: usize = HALF_UNITS + 16
const TOKEN_STEPS: usize = QUANTIZED + 524288 * 2
const INTEGER_SUMS: usize = TOKEN_STEPS + 64 * 4
const NIBBLES: usize = INTEGER_SUMS + 32
const SHORT_BLOCK: usize = NIBBLES + 16
const TILE_SUMS: usize = SHORT_BLOCK + 32 * 4
const OPENED_ROWS: usize = TILE_SUMS + 16 + 72 * 64 * 4
const EDGE_COLUMNS: usize = OPENED_ROWS + 8 * 128
const GATHERED_ROWS: usize = EDGE_COLUMNS + 64 * 4
const STRIPES: usize = GATHERED_ROWS + 2 * 2048 * 80

/** Bytes of the range, a multiple of 64. */
export const scratch_size: usize = (STRIPES + 3 * 64 + 63) & ~63

/** Accumulators of a tile; linear_tile: of tokens by a block of rows, [group][pair 24][token 5][row 2] vectors. */
export function accumulators(): usize {
  return start + ACCUMULATORS
}

/** A packed block of a product's left matrix, 524288 numbers; a list of inputs (nonzero.ts). */
export function packedLeft(): usize {
  return start + PACKED_LEFT
}

/** A packed block of a product's right matrix, 65536 numbers and 128 gaps of 16 between panels. */
export function packedRight(): usize {
  return start + PACKED_RIGHT
}

/** linear_tile: what a block's rows have past their last whole stripe, in fours, [12, 15, 4]. */
export function rowTails(): usize {
  return start + ROW_TAILS
}

/** linear_tile: the biases of a block's rows, [48]. */
export function rowBiases(): usize {
  return start + ROW_BIASES
}

/** outer_product: a tile that crosses the edge, [6, 16] at most. */
export function edgeTile(): usize {
  return start + EDGE_TILE
}

/** attention: the weights of several queries, MOST_WEIGHTS numbers; attention_backward: half of them gradients of scores. */
export function attentionWeights(): usize {
  return start + WEIGHTS
}

/** attention over many tokens: queries ready for their keys, then values ready for their weights, MOST_ROWS numbers. */
export function attentionRows(): usize {
  return start + ATTENTION_ROWS
}

/** attention over few tokens: where the values of a group of heads stand, and where their sums do, [2, 4]. */
export function headAddresses(): usize {
  return start + HEADS
}

/** softmax_row: the constants of e^x, [14] f32x4. */
export function exponentialConstants(): usize {
  return start + EXPONENTIAL_CONSTANTS
}

/** byte_values: the factors of a block of positions, of up to three heads, [3, 64] i16. */
export function blockFactors(): usize {
  return start + BLOCK_FACTORS
}

/** attention_backward: what capped scores gain with the scores, [LONGEST_GRADIENT]. */
export function scoreSlopes(): usize {
  return start + SCORE_SLOPES
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

/** storage: a mask, [4] i32. */
export function halfPlaces(): usize {
  return start + HALF_PLACES
}

/** storage: a factor, [4]. */
export function halfUnits(): usize {
  return start + HALF_UNITS
}

/** The int8 ops: numbers rounded to int16, [524288] i16. */
export function quantized(): usize {
  return start + QUANTIZED
}

/** The int8 ops: the step of each token of a block, [64]. */
export function tokenSteps(): usize {
  return start + TOKEN_STEPS
}

/** linear_i8: sums of a tile, [token 2][row 4] i32. */
export function integerSums(): usize {
  return start + INTEGER_SUMS
}

/** The int4 ops: a mask of the lower halves of bytes, [16] u8. */
export function nibbles(): usize {
  return start + NIBBLES
}

/** The int4 ops: the numbers of a block that is not full, [32]. */
export function shortBlock(): usize {
  return start + SHORT_BLOCK
}

/** The int4 ops: four numbers on their way, then sums of a tile of up to 72 rows by 64 outputs, [4 + 72 * 64]. */
export function tileSums(): usize {
  return start + TILE_SUMS
}

/** linear_i4: two times four rows side by side, of up to 2048 blocks, [2, 2048, 80] u8. */
export function gatheredRows(): usize {
  return start + GATHERED_ROWS
}

/** linear_input_major_i4: eight pairs of rows, opened, [8, 8, 16] u8. */
export function openedRows(): usize {
  return start + OPENED_ROWS
}

/** linear_input_major_i4: a tile at the edge, [64]. */
export function edgeColumns(): usize {
  return start + EDGE_COLUMNS
}

/** float32: the sums of three dots, [3, 16]. */
export function stripes(): usize {
  return start + STRIPES
}
