/**
 * Bugs planted in the operations of src/ops/attention_i8.ts.
 */
import { VALUE_BLOCK } from '../../src/ops/attention_i8.ts'
import { keyHeadOf } from '../../src/ops/attention.ts'
import { quantizeRow } from '../../src/tensor/dtypes.ts'
import { attentionI8Laws } from '../../src/verify/ops/attention_i8.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import type { Definition } from '../harness/mutate.ts'
import { groupsApart } from './attention.mutants.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

const { fround } = Math

/** Attention, token by token, over as many positions as `seen` says. */
function attentionSeeing(
  attention: Definition<'attention_i8'>,
  seen: (position: number, S: number) => number,
): Definition<'attention_i8'> {
  return (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
    for (let t = 0; t < T; t++) {
      const part = (x: Float32Array): Float32Array => x.subarray(t * H * K, (t + 1) * H * K)
      const visible = seen(S - T + t, S)
      attention(part(y), part(query), k, ks, v, vs, heads, groups, scale, cap, 1, visible, W, C, H, G, K, R)
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

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'attention_i8',
    'rounds the query to int8',
    [...agree('attention_i8'), attentionI8Laws.isNear],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, rounded(query, K), k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'takes the scales of the keys for those of the values',
    [...agree('attention_i8'), attentionI8Laws.isNear, attentionI8Laws.equalScores],
    (attention) => (y, query, k, ks, v, _, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, ks, heads, groups, scale, cap, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'sees one token too far',
    [...agree('attention_i8'), attentionI8Laws.futureIsUnseen, attentionI8Laws.isNear],
    (attention) => attentionSeeing(attention, (position, S) => Math.min(position + 2, S)),
  ),

  mutant(
    'attention_i8',
    'adds up one block of values and no other',
    [attentionI8Laws.isNearOverBlocks],
    (attention) => attentionSeeing(attention, (position) => Math.min(position + 1, VALUE_BLOCK)),
  ),

  mutant(
    'attention_i8',
    'does not see its own token',
    [...agree('attention_i8'), attentionI8Laws.equalScores, attentionI8Laws.pastIsSeen],
    (attention) => attentionSeeing(attention, (position) => Math.max(position, 1)),
  ),

  mutant(
    'attention_i8',
    'forgets what is in the cache',
    [...agree('attention_i8'), attentionI8Laws.stepIsPass],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, _, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, cap, T, T, W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'strides over heads by what is in the cache',
    [...agree('attention_i8'), attentionI8Laws.capacityIsRoom],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, _, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, S, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'reads the scales of the wrong head when heads are chosen',
    [...agree('attention_i8'), chosenIsZeroed('attention_i8'), othersAreUnseen('attention_i8')],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      const scales = ks.slice()
      heads?.forEach((h, r) => {
        const from = keyHeadOf(groups, r, G, H) * C
        scales.set(ks.subarray(from, from + C), keyHeadOf(groups, h, G, H) * C)
      })
      attention(y, query, k, scales, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R)
    },
  ),

  mutant(
    'attention_i8',
    'ignores the list of key heads',
    [...agree('attention_i8'), attentionI8Laws.groupsShareKeys],
    (attention) => (y, query, k, ks, v, vs, heads, _, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, null, scale, cap, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'has heads share a key head with those a group apart, not with neighbours',
    [...agree('attention_i8'), attentionI8Laws.isNear, attentionI8Laws.neighboursShare],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      const shared = groups ?? groupsApart(H, G)
      attention(y, query, k, ks, v, vs, heads, shared, scale, cap, T, S, W, C, H, G, K, R)
    },
  ),

  mutant(
    'attention_i8',
    'takes what is not finite for zero',
    [...agree('attention_i8'), attentionI8Laws.brokenQueriesShow],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      const finite = query.map((x) => (Number.isFinite(x) ? x : 0))
      attention(y, finite, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R)
    },
  ),

  mutant(
    'attention_i8',
    'weighs with exponentials that do not sum to 1',
    [attentionI8Laws.oneToken, attentionI8Laws.equalScores],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      attention(y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R)
      y.set(y.map((value) => value * 1.001))
    },
  ),

  mutant(
    'attention_i8',
    'sees one position more than its window',
    [...agree('attention_i8'), attentionI8Laws.pastIsSeen, attentionI8Laws.isNear],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W + 1, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'slides a window over the tokens of the call, not over positions',
    [...agree('attention_i8'), attentionI8Laws.stepIsPass, attentionI8Laws.windowIsShort],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, S - T + W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'takes a long window for a short one',
    [...agree('attention_i8'), attentionI8Laws.wholeWindow],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W > S ? 1 : W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'does not cap scores',
    [...agree('attention_i8'), attentionI8Laws.isNear],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, _, T, S, W, C, H, G, K, R) =>
      attention(y, query, k, ks, v, vs, heads, groups, scale, 0, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention_i8',
    'takes a cap of 0 for one that leaves no score',
    [...agree('attention_i8'), attentionI8Laws.capIsWide],
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(
        y,
        query,
        k,
        ks,
        v,
        vs,
        heads,
        groups,
        scale,
        cap > 0 ? cap : 2 ** -20,
        T,
        S,
        W,
        C,
        H,
        G,
        K,
        R,
      ),
  ),

  mutant(
    'attention_i8',
    'begins blocks of values where the window begins',
    agree('attention_i8').slice(1),
    (attention) => (y, query, k, ks, v, vs, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      for (let t = 0; t < T; t++) {
        const part = (x: Float32Array): Float32Array => x.subarray(t * H * K, (t + 1) * H * K)
        const end = S - T + t + 1
        const first = Math.max(0, end - W)
        const [keys, values] = [k, v].map((x) => x.subarray(first * K))
        const [keyScales, valueScales] = [ks, vs].map((x) => x.subarray(first))
        const past = [keys, keyScales, values, valueScales] as const
        attention(part(y), part(query), ...past, heads, groups, scale, cap, 1, end - first, W, C, H, G, K, R)
      }
    },
  ),
]
