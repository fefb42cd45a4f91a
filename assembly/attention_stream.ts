/**
 * attention for few tokens, which is memory-bound: keys and values are read in several streams at once, which is faster
 * than one (bench/README.md).
 *
 * The scores of a query are independent of each other, so the keys of a head are read from four places, a quarter of the
 * positions apart. Values must be added in order, so there the streams are those of four heads, two positions in turn.
 */
import { capScores } from './cap_scores'
import { addScaled, scaleArray } from './elementwise'
import { bytes, combineFour, dot, madd, madd1, storeStripe, STRIPE, wholeStripes } from './float32'
import { attentionWeights, headAddresses, LONGEST_CONTEXT, stripes } from './scratch'
import { softmaxRow } from './softmax_row'
import { keyHeadOf, rowAt, unitAt } from './units'

/** Heads side by side. */
export const GROUP: i32 = 4

/** The weights of the query of head `g` of a group. */
export function weightsOf(g: i32): usize {
  return attentionWeights() + bytes(g * LONGEST_CONTEXT)
}

/** The heads at places first..first + size of the list, at most GROUP of them. */
export function attendHeads(
  y: usize, // [T, H, K]
  query: usize, // [T, H, K]
  key: usize, // [G, C, K]
  value: usize, // [G, C, K]
  heads: usize, // list or null
  key_heads: usize, // [H] or null
  scale: f32,
  cap: f32,
  T: i32,
  S: i32,
  W: i32,
  C: i32,
  H: i32,
  G: i32,
  K: i32,
  first: i32,
  size: i32,
): void {
  const values = headAddresses()
  const sums = values + bytes(GROUP)
  for (let t = 0; t < T; t++) {
    const end = S - T + t + 1
    const visible = min<i32>(end, W)
    for (let g = 0; g < size; g++) {
      const h = unitAt(heads, first + g)
      const row = rowAt(y, t * H + h, K)
      // The scaled query stands in the output row until the weights are known.
      scaleArray(row, rowAt(query, t * H + h, K), scale, K)
      const past = keyHeadOf(key_heads, h, G, H) * C + end - visible
      weigh(weightsOf(g), row, rowAt(key, past, K), cap, visible, K)
      memory.fill(row, 0, bytes(K))
      store<usize>(values + bytes(g), rowAt(value, past, K))
      store<usize>(sums + bytes(g), row)
    }
    addValues(size, visible, K)
  }
}

/** The weights of one scaled query over the positions that it sees. */
function weigh(weights: usize, scaled: usize, key: usize, cap: f32, visible: i32, K: i32): void {
  dotRows(weights, scaled, key, visible, K)
  capScores(weights, cap, visible)
  softmaxRow(weights, weights, visible)
}

/** y[s] = <x, matrix[s]>, s < count: rows from four places at once. */
export function dotRows(y: usize, x: usize, matrix: usize, count: i32, K: i32): void {
  const quarter = count >> 2
  const apart = bytes(quarter)
  const far = rowAt(0, quarter, K)
  const row = bytes(K)
  const whole = wholeStripes(K)
  let to = y
  let w = matrix
  for (const end = y + apart; to < end; to += 4) {
    let four = combineFour(
      quad(x, w, whole),
      quad(x, w + far, whole),
      quad(x, w + far * 2, whole),
      quad(x, w + far * 3, whole),
    )
    for (let at = whole; at < row; at += 4) four = madd(four, v128.load32_splat(x + at), gather(w + at, far))
    v128.store_lane<f32>(to, four, 0)
    v128.store_lane<f32>(to + apart, four, 1)
    v128.store_lane<f32>(to + apart * 2, four, 2)
    v128.store_lane<f32>(to + apart * 3, four, 3)
    w += row
  }
  for (let s = quarter * 4; s < count; s++) store<f32>(y + bytes(s), dot<f32>(x, rowAt(matrix, s, K), K))
}

/** The four accumulators of a striped dot over `size` bytes, added pairwise. */
function quad(a: usize, b: usize, size: usize): v128 {
  const end = a + size
  let acc0 = f32x4.splat(0)
  let acc1 = f32x4.splat(0)
  let acc2 = f32x4.splat(0)
  let acc3 = f32x4.splat(0)
  while (a < end) {
    acc0 = madd(acc0, v128.load(a), v128.load(b))
    acc1 = madd(acc1, v128.load(a, 16), v128.load(b, 16))
    acc2 = madd(acc2, v128.load(a, 32), v128.load(b, 32))
    acc3 = madd(acc3, v128.load(a, 48), v128.load(b, 48))
    a += STRIPE
    b += STRIPE
  }
  if (!WIDE) return f32x4.add(f32x4.add(acc0, acc1), f32x4.add(acc2, acc3))
  storeStripe(stripes(), acc0, acc1, acc2, acc3)
  return f32x4.add(
    f32x4.add(v128.load(stripes()), v128.load(stripes(), 16)),
    f32x4.add(v128.load(stripes(), 32), v128.load(stripes(), 48)),
  )
}

/** Four numbers, `far` bytes apart. */
function gather(from: usize, far: usize): v128 {
  let four = v128.load32_zero(from)
  four = v128.load32_lane(from + far, four, 1)
  four = v128.load32_lane(from + far * 2, four, 2)
  return v128.load32_lane(from + far * 3, four, 3)
}

/** Adds the weighted values of the positions seen, of each head at `headAddresses`. */
function addValues(size: i32, visible: i32, K: i32): void {
  const values = headAddresses()
  const sums = values + bytes(GROUP)
  const pairs = visible & ~1
  for (let s = 0; s < pairs; s += 2) {
    const at = rowAt(0, s, K)
    for (let g = 0; g < size; g++) {
      const value = load<usize>(values + bytes(g)) + at
      addTwo(load<usize>(sums + bytes(g)), value, weightsOf(g) + bytes(s), K)
    }
  }
  if (pairs == visible) return
  for (let g = 0; g < size; g++) {
    const value = load<usize>(values + bytes(g)) + rowAt(0, pairs, K)
    addScaled<f32>(load<usize>(sums + bytes(g)), value, load<f32>(weightsOf(g) + bytes(pairs)), K)
  }
}

/** y += factors[0] * rows[0], then factors[1] * rows[1]. */
function addTwo(y: usize, rows: usize, factors: usize, K: i32): void {
  const factor0 = v128.load32_splat(factors)
  const factor1 = v128.load32_splat(factors, 4)
  const end = y + bytes(K)
  const whole = y + wholeStripes(K)
  let next = rows + bytes(K)
  while (y < whole) {
    // One store after the other is faster, but no place for an engine that joins vectors to begin at (elementwise.ts).
    const sum0 = madd(madd(v128.load(y), factor0, v128.load(rows)), factor1, v128.load(next))
    if (!WIDE) v128.store(y, sum0)
    const sum1 = madd(madd(v128.load(y, 16), factor0, v128.load(rows, 16)), factor1, v128.load(next, 16))
    if (!WIDE) v128.store(y, sum1, 16)
    const sum2 = madd(madd(v128.load(y, 32), factor0, v128.load(rows, 32)), factor1, v128.load(next, 32))
    if (!WIDE) v128.store(y, sum2, 32)
    const sum3 = madd(madd(v128.load(y, 48), factor0, v128.load(rows, 48)), factor1, v128.load(next, 48))
    if (!WIDE) v128.store(y, sum3, 48)
    if (WIDE) storeStripe(y, sum0, sum1, sum2, sum3)
    y += STRIPE
    rows += STRIPE
    next += STRIPE
  }
  while (y < end) {
    const sum = madd1(load<f32>(y), load<f32>(factors), load<f32>(rows))
    store<f32>(y, madd1(sum, load<f32>(factors, 4), load<f32>(next)))
    y += 4
    rows += 4
    next += 4
  }
}
