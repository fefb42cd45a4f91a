/**
 * cache_append_i8 moves keys and values where attention_i8 looks for them, each row as int8 with its scale.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import { quantizeRows } from '../../tensor/dtypes.ts'
import { callRaw } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { Data, type DataKind } from '../../testing/seeded_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const H = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 36 })
const seed = fc.nat()

/** A cache of int8, and its scales. */
export interface ByteCache {
  readonly cache: Int8Array // [H, C, K]
  readonly scales: Float32Array // [H, C]
}

/** Appends T tokens to a cache from position P on. */
export function append(
  backend: Backend,
  onto: ByteCache,
  x: Float32Array, // [T, H, K]
  P: number,
  H: number,
  K: number,
): ByteCache {
  const [T, C] = [x.length / (H * K), onto.scales.length / H]
  return callRaw(backend, 'cache_append_i8', { ...onto, x, P, T, C, H, K }) as unknown as ByteCache
}

export const quantizesTokens: BackendLaw = forAll(
  'cache_append_i8: writes each row of [T, H, K] to positions P.., quantized as a checkpoint is, and nothing else',
  [fc.nat({ max: 9 }), fc.nat({ max: 5 }), H, K, fc.constantFrom<DataKind>('plain', 'ties', 'wild'), seed],
  (backend, P, T, H, K, kind, seed) => {
    const data = new Data(seed)
    const C = P + T + data.below(3)
    const before = { cache: data.int8s(H * C * K), scales: data.floats(H * C) }
    const x = data.floats(T * H * K, kind)
    const rows = quantizeRows(x, T * H, K)
    const after = append(backend, before, x, P, H, K)
    /** Which row of x stands at a place of the cache; -1 for one of before. */
    const rowAt = (place: number): number => {
      const [h, s] = [Math.floor(place / C), place % C]
      return s >= P && s < P + T ? (s - P) * H + h : -1
    }
    const cache = before.cache.map((kept, i) => {
      const row = rowAt(Math.floor(i / K))
      return row < 0 ? kept : rows.values[row * K + (i % K)]
    })
    const scales = before.scales.map((kept, place) => {
      const row = rowAt(place)
      return row < 0 ? kept : rows.scales[row]
    })
    sameBits('cache', after.cache, cache)
    sameBits('scales', after.scales, scales)
  },
)

export const brokenRowsShow: BackendLaw = forAll(
  'cache_append_i8: a row that holds NaN or an infinity has the scale NaN, and no other row has',
  [fc.integer({ min: 1, max: 5 }), H, K, fc.constantFrom(NaN, Infinity, -Infinity), seed],
  (backend, T, H, K, broken, seed) => {
    const data = new Data(seed)
    const x = data.floats(T * H * K)
    const row = data.below(T * H)
    x[row * K + data.below(K)] = broken
    const empty = { cache: new Int8Array(T * H * K), scales: new Float32Array(T * H) }
    const { scales } = append(backend, empty, x, 0, H, K)
    const isBroken = Array.from(scales, (scale) => Number(Number.isNaN(scale)))
    const expected = isBroken.map((_, place) => Number((place % T) * H + Math.floor(place / T) === row))
    sameBits('broken', isBroken, expected)
  },
)
