/**
 * cache_append moves keys and values where attention looks for them.
 */
import fc from 'fast-check'
import { call } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const H = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 36 })
const seed = fc.nat()

export const movesTokens: BackendLaw = forAll(
  'cache_append: writes [T, H, K] to positions P.. of [H, C, K] and nothing else',
  [fc.nat({ max: 9 }), fc.nat({ max: 5 }), H, K, seed],
  (backend, P, T, H, K, seed) => {
    const data = new Data(seed)
    const C = P + T + data.below(3)
    const [cache, x] = [data.floats(H * C * K), data.floats(T * H * K)]
    const expected = cache.map((kept, i) => {
      const [h, s, k] = [Math.floor(i / (C * K)), Math.floor(i / K) % C, i % K]
      return s >= P && s < P + T ? x[((s - P) * H + h) * K + k] : kept
    })
    sameBits('cache', call(backend, 'cache_append', { cache, x, P, T, C, H, K }).cache, expected)
  },
)
