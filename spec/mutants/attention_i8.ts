/**
 * Bugs planted in attention over int8 and its cache.
 */
import { VALUE_BLOCK } from '../../src/ops/attention_i8.ts'
import { keyHeadOf } from '../../src/ops/key_heads.ts'
import { quantizeRow } from '../../src/tensor/dtypes.ts'
import * as attentionLaws from '../../src/verify/ops/attention_i8.ts'
import { brokenRowsShow, quantizesTokens } from '../../src/verify/ops/cache_append_i8.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import type { Definition } from '../harness/mutate.ts'
import { groupsApart } from './attention.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** Attention, token by token, over as many positions as `seen` says. */
function attentionSeeing(
  attention: Definition<'attention_i8'>,
  seen: (position: number, S: number) => number,
): Definition<'attention_i8'> {
  return (y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R) => {
    for (let t = 0; t < T; t++) {
      const part = (x: Float32Array): Float32Array => x.subarray(t * H * K, (t + 1) * H * K)
      const visible = seen(S - T + t, S)
      attention(part(y), part(query), k, ks, v, vs, heads, groups, scale, 1, visible, C, H, G, K, R)
    }
  }
}

/** What rows of int8 stand for, in place of the rows. */
function rounded(x: Float32Array, K: number): Float32Array {
  const q = new Int8Array(K)
  const rows = x.slice()
  for (let start = 0; start < x.length; start += K) {
    const scale = quantizeRow(q, x.subarray(start, start + K))
    for (let k = 0; k < K; k++) rows[start + k] = fround(scale * q[k])
  }
  return rows
}

/** The mutants of this page. */
export const attentionI8Mutants: readonly Mutant[] = [
  mutant(
    'attention_i8',
    'rounds the query to int8',
    [...agree('attention_i8'), attentionLaws.isNearAttention],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R) =>
      attention(y, rounded(query, K), k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'takes the scales of the keys for those of the values',
    [...agree('attention_i8'), attentionLaws.isNearAttention, attentionLaws.equalScores],
    (attention) => (y, query, k, ks, v, _, heads, groups, scale, T, S, C, H, G, K, R) =>
      attention(y, query, k, ks, v, ks, heads, groups, scale, T, S, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'sees one token too far',
    [...agree('attention_i8'), attentionLaws.futureIsUnseen, attentionLaws.isNearAttention],
    (attention) => attentionSeeing(attention, (position, S) => Math.min(position + 2, S)),
  ),

  mutant(
    'attention_i8',
    'adds up one block of values and no other',
    [attentionLaws.isNearOverBlocks],
    (attention) => attentionSeeing(attention, (position) => Math.min(position + 1, VALUE_BLOCK)),
  ),

  mutant(
    'attention_i8',
    'does not see its own token',
    [...agree('attention_i8'), attentionLaws.equalScores, attentionLaws.pastIsSeen],
    (attention) => attentionSeeing(attention, (position) => Math.max(position, 1)),
  ),

  mutant(
    'attention_i8',
    'forgets what is in the cache',
    [...agree('attention_i8'), attentionLaws.stepIsPass],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, _, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, T, T, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'strides over heads by what is in the cache',
    [...agree('attention_i8'), attentionLaws.capacityIsRoom],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, S, _, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, T, S, S, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'reads the scales of the wrong head when heads are chosen',
    [...agree('attention_i8'), chosenIsZeroed('attention_i8'), othersAreUnseen('attention_i8')],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R) => {
      const scales = ks.slice()
      heads?.forEach((h, r) => {
        const from = keyHeadOf(groups, r, G, H) * C
        scales.set(ks.subarray(from, from + C), keyHeadOf(groups, h, G, H) * C)
      })
      attention(y, query, k, scales, v, vs, heads, groups, scale, T, S, C, H, G, K, R)
    },
  ),

  mutant(
    'attention_i8',
    'ignores the list of key heads',
    [...agree('attention_i8'), attentionLaws.groupsShareKeys],
    (attention) => (y, query, k, ks, v, vs, heads, _, scale, T, S, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, null, scale, T, S, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'has heads share a key head with those a group apart, not with neighbours',
    [...agree('attention_i8'), attentionLaws.isNearAttention, attentionLaws.neighboursShare],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R) => {
      const shared = groups ?? groupsApart(H, G)
      attention(y, query, k, ks, v, vs, heads, shared, scale, T, S, C, H, G, K, R)
    },
  ),

  mutant(
    'attention_i8',
    'takes what is not finite for zero',
    [...agree('attention_i8'), attentionLaws.brokenQueriesShow],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R) => {
      const finite = query.map((x) => (Number.isFinite(x) ? x : 0))
      attention(y, finite, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R)
    },
  ),

  mutant(
    'attention_i8',
    'weighs with exponentials that do not sum to 1',
    [attentionLaws.oneToken, attentionLaws.equalScores],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R) => {
      attention(y, query, k, ks, v, vs, heads, groups, scale, T, S, C, H, G, K, R)
      y.set(y.map((value) => value * 1.001))
    },
  ),

  mutant(
    'cache_append_i8',
    'always writes at the start',
    [...agree('cache_append_i8'), quantizesTokens],
    (append) => (cache, scales, x, heads, _, T, C, H, K, R) =>
      append(cache, scales, x, heads, 0, T, C, H, K, R),
  ),

  mutant(
    'cache_append_i8',
    'has one scale for all heads of a token',
    [...agree('cache_append_i8'), quantizesTokens],
    (append) => (cache, scales, x, heads, P, T, C, H, K, R) => {
      append(cache, scales, x, heads, P, T, C, H, K, R)
      for (let h = 1; h < H; h++)
        for (let s = P; s < P + T; s++) scales[h * C + s] = Math.max(scales[h * C + s], scales[s])
    },
  ),

  mutant(
    'cache_append_i8',
    'keeps what is not finite as zero',
    [...agree('cache_append_i8'), brokenRowsShow],
    (append) => (cache, scales, x, heads, P, T, C, H, K, R) => {
      const finite = x.map((value) => (Number.isFinite(value) ? value : 0))
      append(cache, scales, finite, heads, P, T, C, H, K, R)
    },
  ),
]
