/**
 * Bugs planted in the operations of src/ops/attention.ts.
 */
import { keyHeadOf } from '../../src/ops/attention.ts'
import { attentionLaws } from '../../src/verify/ops/attention.ts'
import { chosenIsZeroed, othersAreUnseen } from '../../src/verify/ops/chosen.ts'
import { attentionGradient } from '../../src/verify/ops/gradients.ts'
import type { Definition } from '../harness/mutate.ts'
import { agree, mutant, type Mutant } from './mutant.ts'

/** Attention, token by token, over as many positions as `seen` says. */
function attentionSeeing(
  attention: Definition<'attention'>,
  seen: (position: number, S: number) => number,
): Definition<'attention'> {
  return (y, query, key, value, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
    for (let t = 0; t < T; t++) {
      const part = (x: Float32Array): Float32Array => x.subarray(t * H * K, (t + 1) * H * K)
      attention(
        part(y),
        part(query),
        key,
        value,
        heads,
        groups,
        scale,
        cap,
        1,
        seen(S - T + t, S),
        W,
        C,
        H,
        G,
        K,
        R,
      )
    }
  }
}

/** Attention whose cap meets the scores of positions that a token does not see, which are -Infinity before it and -cap after it. */
const capsWhatIsHidden: Definition<'attention'> = (y, query, key, value, heads, groups, ...numbers) => {
  const [scale, cap, T, S, W, C, H, G, K] = numbers
  y.fill(0, 0, T * H * K)
  for (const h of heads ?? Array.from({ length: H }, (_, i) => i))
    for (let t = 0; t < T; t++) {
      const at = (t * H + h) * K
      const start = keyHeadOf(groups, h, G, H) * C * K
      const position = S - T + t
      const weights = Float64Array.from({ length: S }, (_, s) => {
        let score = 0
        for (let k = 0; k < K; k++) score += scale * query[at + k] * key[start + s * K + k]
        return cap * Math.tanh((s > position || s <= position - W ? -Infinity : score) / cap)
      })
      const most = Math.max(...weights)
      const total = weights.reduce((sum, score) => sum + Math.exp(score - most), 0)
      for (const [s, score] of weights.entries())
        for (let k = 0; k < K; k++) y[at + k] += (Math.exp(score - most) / total) * value[start + s * K + k]
    }
}

/** A list of key heads by which head h shares its own with h + G. */
export function groupsApart(H: number, G: number): Int32Array {
  return Int32Array.from({ length: H }, (_, h) => h % G)
}

/** The mutants of this file. */
export const mutants: readonly Mutant[] = [
  mutant(
    'attention',
    'does not scale',
    [...agree('attention'), attentionLaws.isNear, attentionGradient],
    (attention) => (y, q, k, v, heads, groups, _, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, 1, cap, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'sees one token too far',
    [...agree('attention'), attentionLaws.futureIsUnseen, attentionLaws.isNear, attentionGradient],
    (attention) => attentionSeeing(attention, (position, S) => Math.min(position + 2, S)),
  ),

  mutant(
    'attention',
    'does not see its own token',
    [...agree('attention'), attentionLaws.equalScores, attentionLaws.pastIsSeen, attentionLaws.isNear],
    (attention) => attentionSeeing(attention, (position) => Math.max(position, 1)),
  ),

  mutant(
    'attention',
    'forgets what is in the cache',
    [...agree('attention'), attentionLaws.stepIsPass],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, _, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, cap, T, T, W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'strides over heads by what is in the cache',
    [...agree('attention'), attentionLaws.capacityIsRoom, attentionLaws.isNear],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, _, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, cap, T, S, W, S, H, G, K, R),
  ),

  mutant(
    'attention',
    'reads the keys of the wrong head when heads are chosen',
    [...agree('attention'), chosenIsZeroed('attention'), othersAreUnseen('attention')],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      const keys = k.slice()
      heads?.forEach((h, r) => {
        const from = keyHeadOf(groups, r, G, H) * C * K
        keys.set(k.subarray(from, from + C * K), keyHeadOf(groups, h, G, H) * C * K)
      })
      attention(y, q, keys, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R)
    },
  ),

  mutant(
    'attention',
    'weighs with exponentials that do not sum to 1',
    [attentionLaws.oneToken, attentionLaws.equalScores],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      attention(y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R)
      y.set(y.map((value) => value * 1.001))
    },
  ),

  mutant(
    'attention',
    'ignores the list of key heads',
    [...agree('attention'), attentionLaws.groupsShareKeys],
    (attention) => (y, q, k, v, heads, _, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, null, scale, cap, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'takes the key heads of the first places for those of the chosen heads',
    [...agree('attention'), attentionLaws.groupsShareKeys, chosenIsZeroed('attention')],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) => {
      const wrong = groups?.slice() ?? null
      heads?.forEach((h, r) => wrong && groups && (wrong[h] = groups[r]))
      attention(y, q, k, v, heads, wrong, scale, cap, T, S, W, C, H, G, K, R)
    },
  ),

  mutant(
    'attention',
    'has heads share a key head with those a group apart, not with neighbours',
    [
      ...agree('attention'),
      attentionLaws.isNear,
      attentionLaws.neighboursShare,
      attentionLaws.oneToken,
      attentionGradient,
    ],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups ?? groupsApart(H, G), scale, cap, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'sees one position more than its window',
    [...agree('attention'), attentionLaws.pastIsSeen, attentionLaws.isNear, attentionGradient],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, cap, T, S, W + 1, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'slides a window over the tokens of the call, not over positions',
    [...agree('attention'), attentionLaws.stepIsPass, attentionLaws.windowIsShort],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, cap, T, S, S - T + W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'takes a long window for a short one',
    [...agree('attention'), attentionLaws.wholeWindow],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, cap, T, S, W > S ? 1 : W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'does not cap scores',
    [...agree('attention'), attentionLaws.isNear, attentionGradient],
    (attention) => (y, q, k, v, heads, groups, scale, _, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, 0, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention',
    'caps scores after the mask',
    [...agree('attention'), attentionLaws.futureIsUnseen, attentionLaws.isNear, attentionGradient],
    (attention) =>
      (...args) =>
        (args[7] > 0 ? capsWhatIsHidden : attention)(...args),
  ),

  mutant(
    'attention',
    'takes a cap of 0 for one that leaves no score',
    [...agree('attention'), attentionLaws.capIsWide],
    (attention) => (y, q, k, v, heads, groups, scale, cap, T, S, W, C, H, G, K, R) =>
      attention(y, q, k, v, heads, groups, scale, cap > 0 ? cap : 2 ** -20, T, S, W, C, H, G, K, R),
  ),

  mutant(
    'attention_backward',
    'gives a key head the gradient of its last head alone',
    [...agree('attention_backward'), attentionLaws.groupsAddGradients, attentionGradient],
    (backward) => (dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K) => {
      const isLast = (h: number): boolean =>
        h === H - 1 || keyHeadOf(null, h, G, H) !== keyHeadOf(null, h + 1, G, H)
      const ofLast = dy.map((g, i) => (isLast(Math.floor(i / K) % H) ? g : 0))
      backward(dq, dk, dv, ofLast, q, k, v, scale, cap, T, W, C, H, G, K)
      backward(dq, dk.slice(), dv.slice(), dy, q, k, v, scale, cap, T, W, C, H, G, K)
    },
  ),

  mutant(
    'attention_backward',
    'adds up the heads of a group from the last on',
    agree('attention_backward'),
    (backward) => (dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K) => {
      // Where a group is not mirrored onto a whole one its order stays.
      if (H % G !== 0) return backward(dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K)
      const size = H / G
      const mirror = (x: Float32Array): Float32Array =>
        x.map((_, i) => {
          const [row, k] = [Math.floor(i / K), i % K]
          const h = row % H
          return x[(row - h + Math.floor(h / size) * size + (size - 1 - (h % size))) * K + k]
        })
      backward(dq, dk, dv, mirror(dy), mirror(q), k, v, scale, cap, T, W, C, H, G, K)
      dq.set(mirror(dq))
    },
  ),

  mutant(
    'attention_backward',
    'forgets the scale in the query',
    [...agree('attention_backward'), attentionGradient],
    (backward) => (dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K) => {
      backward(dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K)
      dq.set(dq.map((g) => g / scale))
    },
  ),

  mutant(
    'attention_backward',
    'gives gradients to positions before the window',
    [...agree('attention_backward'), attentionGradient],
    (backward) => (dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K) =>
      backward(dq, dk, dv, dy, q, k, v, scale, cap, T, W + 1, C, H, G, K),
  ),

  mutant(
    'attention_backward',
    'takes the gradient of capped scores for that of scores',
    [...agree('attention_backward'), attentionGradient],
    (backward) => (dq, dk, dv, dy, q, k, v, scale, cap, T, W, C, H, G, K) =>
      backward(dq, dk, dv, dy, q, k, v, scale, cap > 0 ? 2 ** 20 : cap, T, W, C, H, G, K),
  ),
]
