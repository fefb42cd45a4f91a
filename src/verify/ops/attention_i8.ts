/**
 * attention_i8: attention over what its cache stands for, as near as int16 queries and weights come; what a token sees; the
 * cache; and groups of heads that share a key head.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { VALUE_BLOCK } from '../../ops/attention_i8.ts'
import { dequantizeRows } from '../../tensor/dtypes.ts'
import { call, type Values } from '../../testing/op_call.ts'
import { epsilon32, near, sameBits } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { attention64, dot64, dotSize64, softmax64 } from '../float64.ts'
import { append, type ByteCache } from './cache_append_i8.ts'
import { forAll, type BackendLaw } from './law.ts'

const seed = fc.nat()
const T = fc.integer({ min: 1, max: 19 })
const H = fc.integer({ min: 1, max: 4 })
const G = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 36 })

/** Keys or values of a sequence in a cache whose other places have the scale NaN. */
function cached(backend: Backend, x: Float32Array, C: number, G: number, K: number): ByteCache {
  const empty = { cache: new Int8Array(G * C * K).fill(-128), scales: new Float32Array(G * C).fill(NaN) }
  return append(backend, empty, x, 0, G, K)
}

/** The arguments of both caches. */
function cachesOf(key: ByteCache, value: ByteCache): Record<string, Float32Array | Int8Array> {
  return { key: key.cache, key_scales: key.scales, value: value.cache, value_scales: value.scales }
}

interface Sequence {
  readonly values: Values & { query: Float32Array }
  readonly key: ByteCache
  readonly value: ByteCache
  readonly C: number
}

/** A whole sequence: queries [T, H, K], and caches of G key heads with a few places to spare. */
function sequence(backend: Backend, T: number, H: number, G: number, K: number, data: Data): Sequence {
  const C = T + data.below(4)
  const query = data.floats(T * H * K)
  const [key, value] = [0, 1].map(() => cached(backend, data.floats(T * G * K), C, G, K))
  return { values: { query, ...cachesOf(key, value), scale: K ** -0.5, T, S: T, C, H, G, K }, key, value, C }
}

/** The key head of each head, where neighbours share one. */
const shared = (H: number, G: number): Int32Array =>
  Int32Array.from({ length: H }, (_, h) => Math.floor((h * G) / H))

const attend = (backend: Backend, values: Values): Float32Array => call(backend, 'attention_i8', values).y

/** The scales of positions `from` and later replaced. */
function replaceScales({ cache, scales }: ByteCache, C: number, from: number, by: number): ByteCache {
  return { cache, scales: scales.map((scale, place) => (place % C >= from ? by : scale)) }
}

/** What the rows of positions 0..count-1 of a key head stand for. */
function rowsOf(
  { cache, scales }: ByteCache,
  g: number,
  C: number,
  K: number,
  count: number,
): Float32Array[] {
  const part = { rows: count, columns: K, values: cache.slice(g * C * K), scales: scales.slice(g * C) }
  const rows = dequantizeRows(part)
  return Array.from({ length: count }, (_, s) => rows.slice(s * K, (s + 1) * K))
}

/**
 * How far rounding takes a head's output from float64. The query is off by half a step in each channel, which moves a
 * score by half a step times the size of the key; scores are rounded thrice. Scores within e of theirs give weights
 * within a factor e^(2e), and weights that sum to 1 average no more than the largest value. Then factors are off by half
 * a step of their block.
 */
function bound(
  query: Float32Array,
  keys: readonly Float32Array[],
  values: readonly Float32Array[],
  scale: number,
): number[] {
  const largest = largestOf(query) * scale
  const sizeOf = (key: Float32Array): number => key.reduce((sum, x) => sum + Math.abs(x), 0)
  const mostKey = Math.max(...keys.map(sizeOf))
  const mostScore = Math.max(...keys.map((key) => dotSize64(query, key) * scale))
  const ofScores = 0.51 * (largest / 32_767) * mostKey + 8 * epsilon32 * mostScore
  const ofWeights = (2 * keys.length + 16) * epsilon32
  const most = (k: number): number => Math.max(...values.map((value) => Math.abs(value[k])))
  const ofFactors = factorsBound(softmax64(keys.map((key) => dot64(query, key) * scale)), values)
  return Array.from(query, (_, k) => Math.expm1(2 * ofScores + ofWeights) * most(k) + ofFactors[k])
}

const largestOf = (x: Float32Array): number => x.reduce((most, one) => Math.max(most, Math.abs(one)), 0)

/** What half a step of the factors of each block adds up to, per channel. */
function factorsBound(weights: readonly number[], values: readonly Float32Array[]): Float64Array {
  const scales = values.map((value) => largestOf(value) / 127)
  const total = new Float64Array(values[0].length)
  for (let start = 0; start < values.length; start += VALUE_BLOCK) {
    const block = values.slice(start, start + VALUE_BLOCK)
    const step = Math.max(...block.map((_, s) => weights[start + s] * scales[start + s])) / 32_767
    block.forEach((value, s) =>
      value.forEach((x, k) => (total[k] += 0.51 * step * Math.abs(x / (scales[start + s] || 1)))),
    )
  }
  return total
}

/** Every row of attention over a sequence, from token `from` on, is near attention in float64. */
function nearAttention(
  backend: Backend,
  { values, key, value, C }: Sequence,
  from: number,
  T: number,
  H: number,
  G: number,
  K: number,
): void {
  const query = values.query.slice(from * H * K)
  const y = attend(backend, { ...values, query, T: T - from })
  const keyHeads = shared(H, G)
  for (let t = from; t < T; t++)
    for (let h = 0; h < H; h++) {
      const start = ((t - from) * H + h) * K
      const row = query.subarray(start, start + K)
      const g = keyHeads[h]
      const [keys, seen] = [rowsOf(key, g, C, K, t + 1), rowsOf(value, g, C, K, t + 1)]
      const expected = attention64(row, keys, seen, K ** -0.5)
      near(`y[${t}, ${h}]`, y.subarray(start, start + K), expected, bound(row, keys, seen, K ** -0.5))
    }
}

export const isNearAttention: BackendLaw = forAll(
  'attention_i8: attention in float64 over the dequantized cache, within the rounding of query and factors',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) =>
    nearAttention(backend, sequence(backend, T, H, G, K, new Data(seed)), 0, T, H, G, K),
)

export const isNearOverBlocks: BackendLaw = forAll(
  'attention_i8: the same over a past of several blocks',
  [fc.integer({ min: VALUE_BLOCK, max: 4 * VALUE_BLOCK }), K, seed],
  (backend, T, K, seed) =>
    nearAttention(backend, sequence(backend, T, 1, 1, K, new Data(seed)), T - 2, T, 1, 1, K),
)

export const futureIsUnseen: BackendLaw = forAll(
  'attention_i8: keys, values and scales after a position cannot change it, bit for bit, NaN included',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values, key, value, C } = sequence(backend, T, H, G, K, data)
    const cut = data.integer(1, T)
    const poisoned = cachesOf(replaceScales(key, C, cut, NaN), replaceScales(value, C, cut, NaN))
    const past = cut * H * K
    const y = attend(backend, values)
    sameBits('y', attend(backend, { ...values, ...poisoned }).subarray(0, past), y.subarray(0, past))
  },
)

export const pastIsSeen: BackendLaw = forAll(
  'attention_i8: a token attends to every position up to its own: a scale of NaN appears in each later token',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values, key, value, C } = sequence(backend, T, H, G, K, data)
    const cut = data.below(T)
    for (const [name, { scales }] of Object.entries({ key_scales: key, value_scales: value })) {
      const broken = scales.map((scale, place) => (place % C === cut ? NaN : scale))
      attend(backend, { ...values, [name]: broken }).forEach((found, i) => {
        const sees = Math.floor(i / (H * K)) >= cut
        if (sees !== Number.isNaN(found))
          throw new Error(`${name}, y[${i}]: expected ${sees ? '' : 'not '}to see ${cut}`)
      })
    }
  },
)

export const brokenQueriesShow: BackendLaw = forAll(
  'attention_i8: NaN or an infinity in a query makes its head NaN, and nothing else',
  [T, H, G, K, fc.constantFrom(NaN, Infinity, -Infinity), seed],
  (backend, T, H, G, K, broken, seed) => {
    const data = new Data(seed)
    const { values } = sequence(backend, T, H, G, K, data)
    const row = data.below(T * H)
    const query = values.query.slice()
    query[row * K + data.below(K)] = broken
    const expected = attend(backend, values).fill(NaN, row * K, (row + 1) * K)
    sameBits('y', attend(backend, { ...values, query }), expected)
  },
)

export const stepIsPass: BackendLaw = forAll(
  'attention_i8: tokens over a cache = the last tokens of a whole pass, bit for bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values } = sequence(backend, T, H, G, K, data)
    const fresh = data.integer(1, T)
    const start = (T - fresh) * H * K
    const step = attend(backend, { ...values, query: values.query.slice(start), T: fresh, S: T })
    sameBits('y', step, attend(backend, values).subarray(start))
  },
)

export const capacityIsRoom: BackendLaw = forAll(
  'attention_i8: the capacity of the cache changes no bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const query = data.floats(T * H * K)
    const [key, value] = [0, 1].map(() => data.floats(T * G * K))
    const at = (C: number): Float32Array => {
      const caches = cachesOf(cached(backend, key, C, G, K), cached(backend, value, C, G, K))
      return attend(backend, { query, ...caches, scale: 0.5, T, S: T, C, H, G, K })
    }
    sameBits('y', at(T + 7), at(T))
  },
)

export const oneToken: BackendLaw = forAll(
  'attention_i8: a single token attends to itself: the output is its dequantized value, rounded twice',
  [H, G, K, seed],
  (backend, H, G, K, seed) => {
    const { values, value, C } = sequence(backend, 1, H, G, K, new Data(seed))
    const expected = [...shared(H, G)].flatMap((g) => [...rowsOf(value, g, C, K, 1)[0]])
    near(
      'y',
      attend(backend, values),
      expected,
      Array.from(expected, (x) => 2 * epsilon32 * Math.abs(x)),
    )
  },
)

export const equalScores: BackendLaw = forAll(
  'attention_i8: a zero query gives the mean of the dequantized values',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const { values, value, C } = sequence(backend, T, H, G, K, new Data(seed))
    const y = attend(backend, { ...values, query: new Float32Array(T * H * K) })
    const rows = Array.from(shared(H, G), (g) => rowsOf(value, g, C, K, T))
    const expected = y.map((_, i) => {
      const [t, h, k] = [Math.floor(i / (H * K)), Math.floor(i / K) % H, i % K]
      return rows[h].slice(0, t + 1).reduce((total, row) => total + row[k], 0) / (t + 1)
    })
    near('y', y, expected, 1e-5 + Math.max(...rows.flat().map(largestOf)) / 65_534)
  },
)

export const groupsShareKeys: BackendLaw = forAll(
  'attention_i8: heads that share a key head = heads that have a copy of it each, bit for bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values, key, value, C } = sequence(backend, T, H, G, K, data)
    const key_heads = data.ids(H, G)
    const heads = data.someOf(H)
    const choosing = { ...values, heads, R: heads.length }
    const repeat = ({ cache, scales }: ByteCache): ByteCache => ({
      cache: Int8Array.from([...key_heads].flatMap((g) => [...cache.subarray(g * C * K, (g + 1) * C * K)])),
      scales: Float32Array.from([...key_heads].flatMap((g) => [...scales.subarray(g * C, (g + 1) * C)])),
    })
    const own = { ...choosing, ...cachesOf(repeat(key), repeat(value)), G: H }
    sameBits('y', attend(backend, { ...choosing, key_heads }), attend(backend, own))
  },
)

export const neighboursShare: BackendLaw = forAll(
  'attention_i8: without a list of key heads, head h of H reads key head floor(h G / H), bit for bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const { values } = sequence(backend, T, H, G, K, new Data(seed))
    sameBits('y', attend(backend, values), attend(backend, { ...values, key_heads: shared(H, G) }))
  },
)
