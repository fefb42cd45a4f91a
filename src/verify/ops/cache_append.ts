/**
 * cache_append moves keys and values where attention looks for them: as float32, or each row as int8 with its scale.
 *
 * Tests src/ops/cache_append.ts and src/ops/cache_append_i8.ts.
 */
import fc from 'fast-check'
import type { Backend } from '../../backends/backend.ts'
import type { Numbers } from '../../ops/op.ts'
import { quantizeRows } from '../../tensor/dtypes.ts'
import { call, callRaw } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { type DataKind } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const H = fc.integer({ min: 1, max: 3 })
const K = fc.integer({ min: 1, max: 36 })
const P = fc.nat({ max: 9 })
const T = fc.nat({ max: 5 })

/** A cache of int8, and its scales. */
export interface ByteCache {
  readonly cache: Int8Array // [H, C, K]
  readonly scales: Float32Array // [H, C]
}

/** Appends T tokens to a cache of int8 from position P on. */
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

/** A cache [H, C, .] with the rows [T, H, .] of tokens from position P on. `width` is the size of a row. */
function written<Kind extends Numbers>(
  cache: Kind,
  rows: Kind,
  { P, T, C, H }: { P: number; T: number; C: number; H: number },
  width: number,
): Kind {
  return cache.map((kept, i) => {
    const [h, s] = [Math.floor(i / (C * width)), Math.floor(i / width) % C]
    return s >= P && s < P + T ? rows[((s - P) * H + h) * width + (i % width)] : kept
  }) as Kind
}

/** The laws. */
export const cacheLaws = {
  movesTokens: forAll(
    'cache_append: writes [T, H, K] to positions P.. of [H, C, K] and nothing else',
    { P, T, H, K, data: anyData },
    (backend, { P, T, H, K, data }) => {
      const C = P + T + data.whole('spare', 0, 2)
      const [cache, x] = [data.floats('cache', [H, C, K]), data.floats('x', [T, H, K])]
      const found = call(backend, 'cache_append', { cache, x, P, T, C, H, K }).cache
      sameBits('cache', found, written(cache, x, { P, T, C, H }, K))
    },
  ),

  quantizesTokens: forAll(
    'cache_append_i8: writes each row of [T, H, K] to positions P.., quantized as a checkpoint is, and nothing else',
    { P, T, H, K, kind: fc.constantFrom<DataKind>('plain', 'ties', 'wild'), data: anyData },
    (backend, { P, T, H, K, kind, data }) => {
      const C = P + T + data.whole('spare', 0, 2)
      const before = { cache: data.int8s('cache', [H, C, K]), scales: data.floats('scales', [H, C]) }
      const x = data.floats('x', [T, H, K], kind)
      const rows = quantizeRows(x, T * H, K)
      const after = append(backend, before, x, P, H, K)
      sameBits('cache', after.cache, written(before.cache, rows.values, { P, T, C, H }, K))
      sameBits('scales', after.scales, written(before.scales, rows.scales, { P, T, C, H }, 1))
    },
  ),

  brokenRowsShow: forAll(
    'cache_append_i8: a row that holds NaN or an infinity has the scale NaN, and no other row has',
    {
      T: fc.integer({ min: 1, max: 5 }),
      H,
      K,
      broken: fc.constantFrom(NaN, Infinity, -Infinity),
      data: anyData,
    },
    (backend, { T, H, K, broken, data }) => {
      const x = data.floats('x', [T, H, K])
      const row = data.whole('row', 0, T * H - 1)
      x[row * K + data.whole('k', 0, K - 1)] = broken
      const empty = { cache: new Int8Array(T * H * K), scales: new Float32Array(T * H) }
      const { scales } = append(backend, empty, x, 0, H, K)
      const isBroken = Array.from(scales, (scale) => Number(Number.isNaN(scale)))
      const expected = isBroken.map((_, place) => Number((place % T) * H + Math.floor(place / T) === row))
      sameBits('broken', isBroken, expected)
    },
  ),
} satisfies Record<string, BackendLaw>
