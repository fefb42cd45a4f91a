/**
 * attention: the formula in float64, what a token sees, the cache, and groups of heads that share a key head.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { allowancesOf } from '../../testing/op_agreement.ts'
import { call, type Values } from '../../testing/op_call.ts'
import { near, sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { attention64 } from '../float64.ts'
import { forAll, type BackendLaw } from './law.ts'

const seed = fc.nat()
const T = fc.integer({ min: 1, max: 19 })
const H = fc.integer({ min: 1, max: 4 })
const G = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 36 })

/** Keys or values of a sequence, [T, G, K], in a cache [G, C, K] whose other places hold NaN. */
function cached(backend: Backend, x: Float32Array, T: number, C: number, G: number, K: number): Float32Array {
  const cache = new Float32Array(G * C * K).fill(NaN)
  return call(backend, 'cache_append', { cache, x, P: 0, T, C, H: G, K }).cache
}

interface Sequence {
  readonly values: Values & { query: Float32Array; key: Float32Array; value: Float32Array }
  readonly C: number
}

/** A whole sequence: queries [T, H, K], and caches of G key heads with a few places to spare, which hold NaN. */
function sequence(backend: Backend, T: number, H: number, G: number, K: number, data: Data): Sequence {
  const C = T + data.below(4)
  const query = data.floats(T * H * K)
  const [key, value] = [0, 1].map(() => cached(backend, data.floats(T * G * K), T, C, G, K))
  return { values: { query, key, value, scale: K ** -0.5, T, S: T, C, H, G, K }, C }
}

/** The key head of each head, where neighbours share one. */
const shared = (H: number, G: number): Int32Array =>
  Int32Array.from({ length: H }, (_, h) => Math.floor((h * G) / H))

/** The rows of each head's key head, head by head. */
function repeat(rows: Float32Array, keyHeads: Int32Array, G: number): Float32Array {
  const size = rows.length / G
  return Float32Array.from([...keyHeads].flatMap((g) => [...rows.subarray(g * size, (g + 1) * size)]))
}

/** The numbers of position s of every head set to something else. */
function replacePosition(cache: Float32Array, C: number, K: number, from: number, by: number): Float32Array {
  return cache.map((x, i) => (Math.floor(i / K) % C >= from ? by : x))
}

export const isClosedForm: BackendLaw = forAll(
  'attention: softmax of scaled inner products over positions 0..p, as in float64',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const { values, C } = sequence(backend, T, H, G, K, new Data(seed))
    const { y } = call(backend, 'attention', values)
    const keyHeads = shared(H, G)
    const place = (cache: Float32Array, h: number, s: number): Float32Array =>
      cache.subarray((keyHeads[h] * C + s) * K, (keyHeads[h] * C + s + 1) * K)
    for (let t = 0; t < T; t++)
      for (let h = 0; h < H; h++) {
        const start = (t * H + h) * K
        const seen = Array.from({ length: t + 1 }, (_, s) => s)
        const expected = attention64(
          values.query.subarray(start, start + K),
          seen.map((s) => place(values.key, h, s)),
          seen.map((s) => place(values.value, h, s)),
          K ** -0.5,
        )
        // Scores reach 4 sqrt(K) = 24; their rounding, and that of the sums over at most 19 places of size 2.
        near(`y[${t}, ${h}]`, y.subarray(start, start + K), expected, 1e-4)
      }
  },
)

export const futureIsUnseen: BackendLaw = forAll(
  'attention: keys and values after a position cannot change it, bit for bit, NaN included',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values, C } = sequence(backend, T, H, G, K, data)
    const cut = data.integer(1, T)
    const poisoned = {
      ...values,
      key: replacePosition(values.key, C, K, cut, NaN),
      value: replacePosition(values.value, C, K, cut, NaN),
    }
    const past = cut * H * K
    const { y } = call(backend, 'attention', values)
    sameBits('y', call(backend, 'attention', poisoned).y.subarray(0, past), y.subarray(0, past))
  },
)

export const pastIsSeen: BackendLaw = forAll(
  'attention: a token attends to every position up to its own',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values, C } = sequence(backend, T, H, G, K, data)
    const cut = data.below(T)
    const value = values.value.map((x, i) => (Math.floor(i / K) % C === cut ? NaN : x))
    const { y } = call(backend, 'attention', { ...values, value })
    for (let i = 0; i < y.length; i++) {
      const sees = Math.floor(i / (H * K)) >= cut
      if (sees !== Number.isNaN(y[i])) throw new Error(`y[${i}]: expected ${sees ? '' : 'not '}to see ${cut}`)
    }
  },
)

export const stepIsPass: BackendLaw = forAll(
  'attention: tokens over a cache = the last tokens of a whole pass, bit for bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values } = sequence(backend, T, H, G, K, data)
    const { y } = call(backend, 'attention', values)
    const fresh = data.integer(1, T)
    const start = (T - fresh) * H * K
    const step = call(backend, 'attention', { ...values, query: values.query.slice(start), T: fresh, S: T })
    sameBits('y', step.y, y.subarray(start))
  },
)

export const capacityIsRoom: BackendLaw = forAll(
  'attention: the capacity of the cache changes no bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const query = data.floats(T * H * K)
    const [key, value] = [0, 1].map(() => data.floats(T * G * K))
    const at = (C: number): Float32Array => {
      const caches = { key: cached(backend, key, T, C, G, K), value: cached(backend, value, T, C, G, K) }
      return call(backend, 'attention', { query, ...caches, scale: 0.5, T, S: T, C, H, G, K }).y
    }
    sameBits('y', at(T + 7), at(T))
  },
)

export const oneToken: BackendLaw = forAll(
  'attention: a single token attends to itself: the output is its value, and only the value gets a gradient',
  [H, G, K, seed],
  (backend, H, G, K, seed) => {
    const data = new Data(seed)
    const { values, C } = sequence(backend, 1, H, G, K, data)
    const keyHeads = shared(H, G)
    const { y } = call(backend, 'attention', values)
    const value_grad = new Float32Array(G * K)
    const y_grad = data.floats(H * K)
    for (let i = 0; i < H * K; i++) {
      const [g, k] = [keyHeads[Math.floor(i / K)], i % K]
      sameNumbers(`y[${i}]`, [y[i]], [values.value[g * C * K + k]])
      value_grad[g * K + k] += y_grad[i]
    }
    const found = call(backend, 'attention_backward', { ...values, y_grad })
    sameNumbers('value_grad', found.value_grad, value_grad)
    sameNumbers('query_grad', found.query_grad, new Float32Array(H * K))
    sameNumbers('key_grad', found.key_grad, new Float32Array(G * K))
  },
)

export const equalScores: BackendLaw = forAll(
  'attention: a zero query gives the mean of the values',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const { values, C } = sequence(backend, T, H, G, K, new Data(seed))
    const { y } = call(backend, 'attention', { ...values, query: new Float32Array(T * H * K) })
    const keyHeads = shared(H, G)
    const expected = y.map((_, i) => {
      const [t, h, k] = [Math.floor(i / (H * K)), Math.floor(i / K) % H, i % K]
      let total = 0
      for (let s = 0; s <= t; s++) total += values.value[(keyHeads[h] * C + s) * K + k]
      return total / (t + 1)
    })
    near('y', y, expected, 1e-5)
  },
)

export const groupsShareKeys: BackendLaw = forAll(
  'attention: heads that share a key head = heads that have a copy of it each, bit for bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values } = sequence(backend, T, H, G, K, data)
    const key_heads = data.ids(H, G)
    const heads = data.someOf(H)
    const choosing = { ...values, heads, R: heads.length }
    const own = {
      key: repeat(values.key, key_heads, G),
      value: repeat(values.value, key_heads, G),
      G: H,
    }
    const { y } = call(backend, 'attention', { ...choosing, key_heads })
    sameBits('y', y, call(backend, 'attention', { ...choosing, ...own }).y)
  },
)

export const neighboursShare: BackendLaw = forAll(
  'attention: without a list of key heads, head h of H reads key head floor(h G / H), bit for bit',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const { values } = sequence(backend, T, H, G, K, new Data(seed))
    const { y } = call(backend, 'attention', values)
    sameBits('y', y, call(backend, 'attention', { ...values, key_heads: shared(H, G) }).y)
  },
)

export const groupsAddGradients: BackendLaw = forAll(
  'attention_backward: the gradient of a key head is the sum over its heads, that of a query has the bits of a head alone',
  [T, H, G, K, seed],
  (backend, T, H, G, K, seed) => {
    const data = new Data(seed)
    const { values } = sequence(backend, T, H, G, K, data)
    const given = { ...values, y_grad: data.floats(T * H * K) }
    const keyHeads = shared(H, G)
    const own = { key: repeat(values.key, keyHeads, G), value: repeat(values.value, keyHeads, G), G: H }
    const found = call(backend, 'attention_backward', given)
    const apart = call(backend, 'attention_backward', { ...given, ...own })
    sameBits('query_grad', found.query_grad, apart.query_grad)
    // Both are sums of the same terms, which are rounded as the order of their additions says.
    const allowed = allowancesOf('attention_backward', given, found, 'relaxed')
    for (const name of ['key_grad', 'value_grad'] as const) {
      const expected = new Float64Array(T * G * K)
      apart[name].forEach((grad, i) => {
        const [t, h, k] = [Math.floor(i / (H * K)), Math.floor(i / K) % H, i % K]
        expected[(t * G + keyHeads[h]) * K + k] += grad
      })
      near(name, found[name], expected, allowed[name])
    }
  },
)
