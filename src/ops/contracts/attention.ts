/**
 * The contract of attention in every storage: parameters, cost, gradients and bounds.
 */
import {
  type StorageDescription,
  type Op,
  type Sizes,
  type Stored,
  defineStoredOp,
  output,
  input,
  stored,
  chosen,
  ids,
  scalar,
  size,
  limitOf,
  sizeNeededBy,
  type PlainOp,
  defineOp,
} from '../op.ts'
import { attention_i8, VALUE_BLOCK } from '../attention_i8.ts'
import { chain, sequential } from '../relaxed.ts'
import { attention, MAX_CONTEXT, MAX_GRADIENT_CONTEXT, attention_backward } from '../attention.ts'
import { attentionRelaxed, attentionFast, attentionBackwardRelaxed } from '../attention_relaxed.ts'

/** Pairs of a token and a position that it sees: the first `growing` tokens see all there is before them. */
function pairsSeen({ T, S, W }: Sizes): number {
  const before = S - T
  const growing = Math.min(T, Math.max(0, W - before))
  return growing * (before + (growing + 1) / 2) + (T - growing) * W
}

/** Positions that one of the tokens sees. */
function positionsSeen({ T, S, W }: Sizes): number {
  return Math.min(S, W + T - 1)
}

/** The int8 kernel of `attention`. */
const attentionI8: StorageDescription<Parameters<typeof attention_i8>> = {
  formula:
    'y[t,h] = sum over p - W < s <= p of softmax(cap tanh(<query[t,h] scale, key[g,s] key_scales[g,s]> / cap)) value[g,s] value_scales[g,s] for chosen heads, else 0; query and weights as int16',
  reference: attention_i8,
  // The weights have equal bits: their inner products are exact, and so are the sums of a block.
  relaxed: chain(({ S }) => sequential(Math.ceil(S / VALUE_BLOCK)), 'value value_scales'),
  // The sum of the weights too may have another order, and that of the blocks; what is summed has equal bits.
  fast: chain(({ S }) => sequential(S) + sequential(Math.ceil(S / VALUE_BLOCK)), 'value value_scales'),
  flops: (sizes) => pairsSeen(sizes) * sizes.R * (4 * sizes.K + 30),
  bytes: ({ T, S, W, H, G, K, R }) =>
    4 * (T * (H + R) * K + R + H) + 2 * Math.min(R, G) * positionsSeen({ T, S, W }) * (K + 4),
}

/** Op definition. */
export const attentionOp: Op<
  [
    y: Float32Array,
    query: Float32Array,
    key: Stored,
    value: Stored,
    heads: Int32Array | null,
    key_heads: Int32Array | null,
    scale: number,
    cap: number,
    S: number,
    W: number,
  ],
  { f32: typeof attention; i8: typeof attention_i8 }
> = defineStoredOp(
  'attention',
  [
    output('y', 'T H*K'),
    input('query', 'T H*K'),
    stored(input('key', 'G C K'), input('key_scales', 'G C')),
    stored(input('value', 'G C K'), input('value_scales', 'G C')),
    chosen('heads', 'R', 'H'),
    ids('key_heads', 'H', 'G', { optional: true }),
    scalar('scale', 0.05, 1),
    scalar('cap', -4, 12),
    size('T'),
    size('S', 'T', MAX_CONTEXT),
    limitOf('W', 'S'),
    size('C', 'S'),
    size('H'),
    sizeNeededBy('G', 'H'),
    // H is a dimension of nothing but H*K and an optional list, so K is needed to know it.
    size('K', 1),
    size('R'),
  ],
  {
    f32: {
      formula:
        'y[t,h] = sum over p - W < s <= p of softmax(cap tanh(<query[t,h] scale, key[g,s]> / cap)) value[g,s] for chosen heads, else 0; g = key_heads[h], or floor(h G / H); without tanh where cap <= 0',
      reference: attention,
      relaxed: attentionRelaxed,
      fast: attentionFast,
      flops: (sizes) => pairsSeen(sizes) * sizes.R * (4 * sizes.K + 26),
      bytes: ({ T, S, W, H, G, K, R }) =>
        4 * (T * (H + R) * K + R + H + 2 * Math.min(R, G) * positionsSeen({ T, S, W }) * K),
    },
    i8: attentionI8,
  },
)

/** Op definition. */
export const attentionBackwardOp: PlainOp<
  typeof attention_backward,
  [scale: number, cap: number, W: number]
> = defineOp({
  name: 'attention_backward',
  formula:
    'query_grad, key_grad, value_grad of dense attention over a whole sequence, each token seeing W positions',
  params: [
    output('query_grad', 'T H*K'),
    output('key_grad', 'T G*K'),
    output('value_grad', 'T G*K'),
    input('y_grad', 'T H*K'),
    input('query', 'T H*K'),
    input('key', 'G C K'),
    input('value', 'G C K'),
    scalar('scale', 0.05, 1),
    scalar('cap', -4, 12),
    size('T', 0, MAX_GRADIENT_CONTEXT),
    limitOf('W', 'T'),
    size('C', 'T'),
    size('H'),
    sizeNeededBy('G', 'H'),
    size('K'),
  ],
  reference: attention_backward,
  relaxed: attentionBackwardRelaxed,
  flops: ({ T, W, H, K }) => pairsSeen({ T, S: T, W }) * H * (11 * K + 30),
  bytes: ({ T, H, G, K }) => 4 * T * (3 * H + 2 * G + 2 * Math.min(H, G)) * K,
})
