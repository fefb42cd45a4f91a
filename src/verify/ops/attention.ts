/**
 * attention over a cache of float32: the formula in float64, what a token sees, and the cache.
 */
import { call } from '../../testing/op_call.ts'
import { sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { cacheLaws, H, K, seed, sequence, type CachedAttention, type CacheLaw } from './cached_attention.ts'
import { forAll, type BackendLaw } from './law.ts'

/** Over a cache [H, C, K]. */
const attention: CachedAttention<Float32Array> = {
  op: 'attention',
  formula: 'softmax of scaled inner products over positions 0..p, as in float64',
  append: (backend, x, { T, C, H, K }) => {
    const cache = new Float32Array(H * C * K).fill(NaN)
    return call(backend, 'cache_append', { cache, x, P: 0, T, C, H, K }).cache
  },
  argumentsOf: (key, value) => ({ key, value }),
  rowOf: (cache, h, s, { C, K }) => cache.subarray((h * C + s) * K, (h * C + s + 1) * K),
  poison: (cache, isPoisoned, { C, K }) => cache.map((x, i) => (isPoisoned(Math.floor(i / K) % C) ? NaN : x)),
  // Scores reach 4 sqrt(K) = 24; their rounding, and that of the sums over at most 19 places of size 2.
  bound: () => 1e-4,
  meanError: () => 0,
}

/** The laws. */
export const attentionLaws: Record<CacheLaw | 'oneToken', BackendLaw> = {
  ...cacheLaws(attention),

  oneToken: forAll(
    'attention: a single token attends to itself: the output is its value, and only the value gets a gradient',
    [H, K, seed],
    (backend, H, K, seed) => {
      const data = new Data(seed)
      const { values, value, ...sizes } = sequence(attention, backend, [1, H, K], data)
      const own = Array.from({ length: H }, (_, h) => [...attention.rowOf(value, h, 0, sizes)]).flat()
      sameNumbers('y', call(backend, 'attention', values).y, own)
      const y_grad = data.floats(H * K)
      const found = call(backend, 'attention_backward', { ...values, y_grad })
      sameNumbers('value_grad', found.value_grad, y_grad)
      sameNumbers('query_grad', found.query_grad, new Float32Array(H * K))
      sameNumbers('key_grad', found.key_grad, new Float32Array(H * K))
    },
  ),
}
