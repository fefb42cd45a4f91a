/**
 * attention_i8: attention over what its cache stands for, as near as int16 queries and weights come; what a token sees; the
 * cache; and groups of heads that share a key head.
 *
 * Tests src/ops/attention_i8.ts and src/ops/attention.ts.
 */
import fc from 'fast-check'
import { VALUE_BLOCK } from '../../ops/attention_i8.ts'
import { dequantizeRows } from '../../tensor/dtypes.ts'
import { call } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { capped64, dot64, dotSize64, softmax64 } from '../float64.ts'
import { append, type ByteCache } from './cache_append.ts'
import {
  cacheLaws,
  G,
  H,
  K,
  nearAttention,
  sequence,
  shared,
  T,
  type CachedAttention,
} from './cached_attention.ts'
import { anyData } from '../drawn_data.ts'
import { forAll } from './law.ts'

/**
 * How far rounding takes a head's output from float64. The query is off by half a step in each channel, which moves a
 * score by half a step times the size of the key; scores are rounded thrice, and a cap rounds them by
 * 8 units of each. Scores within e of theirs give weights
 * within a factor e^(2e), and weights that sum to 1 average no more than the largest value. Then factors are off by half
 * a step of their block.
 */
function bound(
  query: Float32Array,
  keys: readonly Float32Array[],
  values: readonly Float32Array[],
  { scale, cap, first }: Parameters<CachedAttention<ByteCache>['bound']>[3],
): number[] {
  const largest = largestOf(query) * scale
  const sizeOf = (key: Float32Array): number => key.reduce((sum, x) => sum + Math.abs(x), 0)
  const mostKey = Math.max(...keys.map(sizeOf))
  const mostScore = Math.max(...keys.map((key) => dotSize64(query, key) * scale))
  const ofScores = 0.51 * (largest / 32_767) * mostKey + (cap > 0 ? 24 : 8) * epsilon32 * mostScore
  const ofWeights = (2 * keys.length + 16) * epsilon32
  const most = (k: number): number => Math.max(...values.map((value) => Math.abs(value[k])))
  const weights = softmax64(keys.map((key) => capped64(dot64(query, key) * scale, cap)))
  const ofFactors = factorsBound(weights, values, first)
  return Array.from(query, (_, k) => Math.expm1(2 * ofScores + ofWeights) * most(k) + ofFactors[k])
}

const largestOf = (x: Float32Array): number => x.reduce((most, one) => Math.max(most, Math.abs(one)), 0)

/** What half a step of the factors of each block adds up to, per channel. */
function factorsBound(
  weights: readonly number[],
  values: readonly Float32Array[],
  first: number,
): Float64Array {
  const scales = values.map((value) => largestOf(value) / 127)
  const total = new Float64Array(values[0].length)
  for (let start = 0, next = 0; start < values.length; start = next) {
    next = start + VALUE_BLOCK - ((first + start) % VALUE_BLOCK)
    const block = values.slice(start, next)
    const step = Math.max(...block.map((_, s) => weights[start + s] * scales[start + s])) / 32_767
    block.forEach((value, s) =>
      value.forEach((x, k) => (total[k] += 0.51 * step * Math.abs(x / (scales[start + s] || 1)))),
    )
  }
  return total
}

/** Over a cache of int8 with a scale for each row. NaN is put into scales. */
const attention: CachedAttention<ByteCache> = {
  op: 'attention_i8',
  formula: 'attention in float64 over the dequantized cache, within the rounding of query and factors',
  append: (backend, x, { C, G, K }) => {
    const empty = { cache: new Int8Array(G * C * K).fill(-128), scales: new Float32Array(G * C).fill(NaN) }
    return append(backend, empty, x, 0, G, K)
  },
  argumentsOf: (key, value) => ({
    key: key.cache,
    key_scales: key.scales,
    value: value.cache,
    value_scales: value.scales,
  }),
  rowOf: ({ cache, scales }, g, s, { C, K }) => {
    const place = g * C + s
    const values = cache.slice(place * K, (place + 1) * K)
    return dequantizeRows({ rows: 1, columns: K, values, scales: scales.slice(place, place + 1) })
  },
  repeat: ({ cache, scales }, keyHeads, { C, K }) => ({
    cache: Int8Array.from([...keyHeads].flatMap((g) => [...cache.subarray(g * C * K, (g + 1) * C * K)])),
    scales: Float32Array.from([...keyHeads].flatMap((g) => [...scales.subarray(g * C, (g + 1) * C)])),
  }),
  poison: ({ cache, scales }, isPoisoned, { C }) => ({
    cache,
    scales: scales.map((scale, place) => (isPoisoned(place % C) ? NaN : scale)),
  }),
  bound,
  meanError: (values) => Math.max(...values.map(largestOf)) / 65_534,
}

/** The laws. */
export const attentionI8Laws = {
  ...cacheLaws(attention),

  isNearOverBlocks: forAll(
    'attention_i8: the same over a past of several blocks',
    { T: fc.integer({ min: VALUE_BLOCK, max: 4 * VALUE_BLOCK }), K, data: anyData },
    (backend, { T, K, data }) => {
      const drawn = sequence(attention, backend, [T, 1, 1, K], data)
      nearAttention(attention, backend, drawn, T - 2)
    },
  ),

  brokenQueriesShow: forAll(
    'attention_i8: NaN or an infinity in a query makes its head NaN, and nothing else',
    { T, H, G, K, broken: fc.constantFrom(NaN, Infinity, -Infinity), data: anyData },
    (backend, { T, H, G, K, broken, data }) => {
      const { values } = sequence(attention, backend, [T, H, G, K], data)
      const row = data.whole('row', 0, T * H - 1)
      const query = values.query.slice()
      query[row * K + data.whole('k', 0, K - 1)] = broken
      const expected = call(backend, 'attention_i8', values).y.fill(NaN, row * K, (row + 1) * K)
      sameBits('y', call(backend, 'attention_i8', { ...values, query }).y, expected)
    },
  ),

  oneToken: forAll(
    'attention_i8: a single token attends to itself: the output is its dequantized value, rounded twice',
    { H, G, K, data: anyData },
    (backend, { H, G, K, data }) => {
      const { values, value, ...sizes } = sequence(attention, backend, [1, H, G, K], data)
      const own = [...shared(H, G)].flatMap((g) => [...attention.rowOf(value, g, 0, sizes)])
      const error = own.map((x) => 2 * epsilon32 * Math.abs(x))
      near('y', call(backend, 'attention_i8', values).y, own, error)
    },
  ),
}
