/**
 * attention: the formula in float64, what a token sees, and the cache.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { call, type Values } from '../../testing/op_call.ts'
import { near, sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { attention64 } from '../float64.ts'
import { forAll, type BackendLaw } from './law.ts'

const seed = fc.nat()
const T = fc.integer({ min: 1, max: 19 })
const H = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 36 })

/** Keys or values of a sequence, [T, H, K], in a cache [H, C, K] whose other places hold NaN. */
function cached(backend: Backend, x: Float32Array, T: number, C: number, H: number, K: number): Float32Array {
  const cache = new Float32Array(H * C * K).fill(NaN)
  return call(backend, 'cache_append', { cache, x, P: 0, T, C, H, K }).cache
}

interface Sequence {
  readonly values: Values & { query: Float32Array; key: Float32Array; value: Float32Array }
  readonly C: number
}

/** A whole sequence: queries [T, H, K], and caches with a few places to spare, which hold NaN. */
function sequence(backend: Backend, T: number, H: number, K: number, data: Data): Sequence {
  const C = T + data.below(4)
  const tensor = (): Float32Array => data.floats(T * H * K)
  const [query, key, value] = [
    tensor(),
    cached(backend, tensor(), T, C, H, K),
    cached(backend, tensor(), T, C, H, K),
  ]
  return { values: { query, key, value, scale: K ** -0.5, T, S: T, C, H, K }, C }
}

/** The numbers of position s of every head set to something else. */
function replacePosition(cache: Float32Array, C: number, K: number, from: number, by: number): Float32Array {
  return cache.map((x, i) => (Math.floor(i / K) % C >= from ? by : x))
}

export const isClosedForm: BackendLaw = forAll(
  'attention: softmax of scaled inner products over positions 0..p, as in float64',
  [T, H, K, seed],
  (backend, T, H, K, seed) => {
    const { values, C } = sequence(backend, T, H, K, new Data(seed))
    const { y } = call(backend, 'attention', values)
    const place = (cache: Float32Array, h: number, s: number): Float32Array =>
      cache.subarray((h * C + s) * K, (h * C + s + 1) * K)
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
  [T, H, K, seed],
  (backend, T, H, K, seed) => {
    const data = new Data(seed)
    const { values, C } = sequence(backend, T, H, K, data)
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
  [T, H, K, seed],
  (backend, T, H, K, seed) => {
    const data = new Data(seed)
    const { values, C } = sequence(backend, T, H, K, data)
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
  [T, H, K, seed],
  (backend, T, H, K, seed) => {
    const data = new Data(seed)
    const { values } = sequence(backend, T, H, K, data)
    const { y } = call(backend, 'attention', values)
    const fresh = data.integer(1, T)
    const start = (T - fresh) * H * K
    const step = call(backend, 'attention', { ...values, query: values.query.slice(start), T: fresh, S: T })
    sameBits('y', step.y, y.subarray(start))
  },
)

export const capacityIsRoom: BackendLaw = forAll(
  'attention: the capacity of the cache changes no bit',
  [T, H, K, seed],
  (backend, T, H, K, seed) => {
    const data = new Data(seed)
    const [query, key, value] = [0, 1, 2].map(() => data.floats(T * H * K))
    const at = (C: number): Float32Array => {
      const caches = { key: cached(backend, key, T, C, H, K), value: cached(backend, value, T, C, H, K) }
      return call(backend, 'attention', { query, ...caches, scale: 0.5, T, S: T, C, H, K }).y
    }
    sameBits('y', at(T + 7), at(T))
  },
)

export const oneToken: BackendLaw = forAll(
  'attention: a single token attends to itself: the output is its value, and only the value gets a gradient',
  [H, K, seed],
  (backend, H, K, seed) => {
    const data = new Data(seed)
    const { values, C } = sequence(backend, 1, H, K, data)
    const value = Array.from({ length: H * K }, (_, i) => values.value[Math.floor(i / K) * C * K + (i % K)])
    sameNumbers('y', call(backend, 'attention', values).y, value)
    const y_grad = data.floats(H * K)
    const found = call(backend, 'attention_backward', { ...values, y_grad })
    sameNumbers('value_grad', found.value_grad, y_grad)
    sameNumbers('query_grad', found.query_grad, new Float32Array(H * K))
    sameNumbers('key_grad', found.key_grad, new Float32Array(H * K))
  },
)

export const equalScores: BackendLaw = forAll(
  'attention: a zero query gives the mean of the values',
  [T, H, K, seed],
  (backend, T, H, K, seed) => {
    const { values, C } = sequence(backend, T, H, K, new Data(seed))
    const { y } = call(backend, 'attention', { ...values, query: new Float32Array(T * H * K) })
    const expected = y.map((_, i) => {
      const [t, h, k] = [Math.floor(i / (H * K)), Math.floor(i / K) % H, i % K]
      let total = 0
      for (let s = 0; s <= t; s++) total += values.value[(h * C + s) * K + k]
      return total / (t + 1)
    })
    near('y', y, expected, 1e-5)
  },
)
