/**
 * attention over a cache of float32: the formula in float64, what a token sees, and the cache.
 *
 * Tests src/ops/attention.ts.
 */
import { call } from '../../testing/op_call.ts'
import { allowancesOf } from '../../testing/op_agreement.ts'
import { near, sameBits, sameNumbers } from '../compare.ts'
import { cacheLaws, G, H, K, sequence, shared, T, type CachedAttention } from './cached_attention.ts'
import { anyData } from '../drawn_data.ts'
import { forAll } from './law.ts'

/** Over a cache [G, C, K]. */
const attention: CachedAttention<Float32Array> = {
  op: 'attention',
  formula: 'softmax of scaled inner products over positions 0..p, as in float64',
  append: (backend, x, { T, C, G, K }) => {
    const cache = new Float32Array(G * C * K).fill(NaN)
    return call(backend, 'cache_append', { cache, x, P: 0, T, C, H: G, K }).cache
  },
  argumentsOf: (key, value) => ({ key, value }),
  rowOf: (cache, g, s, { C, K }) => cache.subarray((g * C + s) * K, (g * C + s + 1) * K),
  repeat: (cache, keyHeads, { C, K }) =>
    Float32Array.from([...keyHeads].flatMap((g) => [...cache.subarray(g * C * K, (g + 1) * C * K)])),
  poison: (cache, isPoisoned, { C, K }) => cache.map((x, i) => (isPoisoned(Math.floor(i / K) % C) ? NaN : x)),
  // Scores reach 4 sqrt(K) = 24; their rounding, and that of the sums over at most 19 places of size 2.
  bound: () => 1e-4,
  meanError: () => 0,
}

/** The laws. */
export const attentionLaws = {
  ...cacheLaws(attention),

  oneToken: forAll(
    'attention: a single token attends to itself: the output is its value, and only the value gets a gradient',
    { H, G, K, data: anyData },
    (backend, { H, G, K, data }) => {
      const { values, value, ...sizes } = sequence(attention, backend, [1, H, G, K], data)
      const keyHeads = shared(H, G)
      const own = [...keyHeads].flatMap((g) => [...attention.rowOf(value, g, 0, sizes)])
      sameNumbers('y', call(backend, 'attention', values).y, own)
      const y_grad = data.floats('y_grad', [H, K])
      const value_grad = new Float32Array(G * K)
      y_grad.forEach((grad, i) => (value_grad[keyHeads[Math.floor(i / K)] * K + (i % K)] += grad))
      const found = call(backend, 'attention_backward', { ...values, y_grad })
      sameNumbers('value_grad', found.value_grad, value_grad)
      sameNumbers('query_grad', found.query_grad, new Float32Array(H * K))
      sameNumbers('key_grad', found.key_grad, new Float32Array(G * K))
    },
  ),

  groupsAddGradients: forAll(
    'attention_backward: the gradient of a key head is the sum over its heads, that of a query has the bits of a head alone',
    { T, H, G, K, data: anyData },
    (backend, { T, H, G, K, data }) => {
      const { values, key, value, ...sizes } = sequence(attention, backend, [T, H, G, K], data)
      const given = { ...values, y_grad: data.floats('y_grad', [T, H, K]) }
      const keyHeads = shared(H, G)
      const [keys, seen] = [key, value].map((cache) => attention.repeat(cache, keyHeads, sizes))
      const found = call(backend, 'attention_backward', given)
      const apart = call(backend, 'attention_backward', { ...given, key: keys, value: seen, G: H })
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
  ),
}
