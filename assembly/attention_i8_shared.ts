/**
 * attention_i8 for few tokens of heads that read the same key head: keys and values are opened once for two heads or three.
 * Sums are exact, so their order is free, and each head has the bits that it has alone.
 */
import { dotSharedRows, isThree } from './byte_rows'
import { addSharedValues, VALUE_BLOCK } from './byte_values'
import { capScores } from './cap_scores'
import { divideArray, scaleArray } from './elementwise'
import { bytes, largest, sum } from './float32'
import { quantizeSteps } from './quantized_steps'
import { attentionWeights, tokenSteps } from './scratch'
import { exponentials } from './softmax_row'

/** Bytes from one head's weights to the next, for the longest context: an odd number of lines. */
const APART: usize = 32784 * 4

/** Whether the rows of a head are as long as its loops take them. */
export function sharesRows(K: i32): bool {
  return K >= 16 && (K & 15) == 0
}

/** One query each of three heads, or of two, the third again the second. */
export function attendBytesShared<N>(
  y0: usize, // [K]
  y1: usize,
  y2: usize,
  query0: usize, // [K]
  query1: usize,
  query2: usize,
  key: usize, // [C, K] i8
  key_scales: usize, // [C]
  value: usize, // [C, K] i8
  value_scales: usize, // [C]
  scale: f32,
  cap: f32,
  end: i32,
  W: i32,
  K: i32,
): void {
  // Blocks of values begin at multiples of 64, and the weights at that of the first one.
  const visible = min<i32>(end, W)
  const first = end - visible
  const skipped = first & (VALUE_BLOCK - 1)
  const start = first - skipped
  const scores = attentionWeights() + bytes(skipped)
  const steps = tokenSteps()
  const totals = steps + bytes(4)
  // The queries stand in the output rows, scaled and then as int16, until the weights are known.
  store<f32>(steps, stepOf(y0, query0, scale, K))
  store<f32>(steps, stepOf(y1, query1, scale, K), 4)
  if (isThree<N>()) store<f32>(steps, stepOf(y2, query2, scale, K), 8)
  const keys = key + <usize>first * <usize>K
  dotSharedRows<N>(scores, APART, y0, y1, y2, steps, keys, key_scales + bytes(first), visible, K)
  store<f32>(totals, weigh(scores, cap, visible))
  store<f32>(totals, weigh(scores + APART, cap, visible), 4)
  if (isThree<N>()) store<f32>(totals, weigh(scores + APART * 2, cap, visible), 8)
  memory.fill(y0, 0, bytes(K))
  memory.fill(y1, 0, bytes(K))
  if (isThree<N>()) memory.fill(y2, 0, bytes(K))
  const values = value + <usize>start * <usize>K
  const factors = attentionWeights()
  addSharedValues<N>(
    y0,
    y1,
    y2,
    values,
    factors,
    APART,
    value_scales + bytes(start),
    steps,
    skipped,
    end - start,
    K,
  )
  divideArray(y0, load<f32>(totals), K)
  divideArray(y1, load<f32>(totals, 4), K)
  if (isThree<N>()) divideArray(y2, load<f32>(totals, 8), K)
}

function stepOf(y: usize, query: usize, scale: f32, K: i32): f32 {
  scaleArray(y, query, scale, K)
  return quantizeSteps(y, y, K)
}

/** Scores become their exponentials, whose sum it returns. */
function weigh(scores: usize, cap: f32, visible: i32): f32 {
  capScores(scores, cap, visible)
  exponentials(scores, scores, largest(scores, visible), visible)
  return sum(scores, visible)
}
