/**
 * The contract of attention in every storage: parameters, cost, gradients and bounds.
 */
import {
  type StorageDescription,
  type Op,
  type Stored,
  defineStoredOp,
  output,
  input,
  stored,
  chosen,
  ids,
  scalar,
  size,
  sizeNeededBy,
  type PlainOp,
  defineOp,
} from '../op.ts'
import { attention_i8, VALUE_BLOCK } from '../attention_i8.ts'
import { chain, sequential } from '../relaxed.ts'
import { attention, MAX_CONTEXT, attention_backward } from '../attention.ts'
import { attentionRelaxed, attentionFast, attentionBackwardRelaxed } from '../attention_relaxed.ts'

/** The int8 kernel of `attention`. */
const attentionI8: StorageDescription<Parameters<typeof attention_i8>> = {
  formula:
    'y[t,h] = sum over s <= p of softmax(<query[t,h] scale, key[g,s] key_scales[g,s]>) value[g,s] value_scales[g,s] for chosen heads, else 0; query and weights as int16',
  reference: attention_i8,
  // The weights have equal bits: their inner products are exact, and so are the sums of a block.
  relaxed: chain(({ S }) => sequential(Math.ceil(S / VALUE_BLOCK)), 'value value_scales'),
  // The sum of the weights too may have another order, and that of the blocks; what is summed has equal bits.
  fast: chain(({ S }) => sequential(S) + sequential(Math.ceil(S / VALUE_BLOCK)), 'value value_scales'),
  flops: ({ T, S, R, K }) => T * (S - (T - 1) / 2) * R * (4 * K + 30),
  bytes: ({ T, S, H, G, K, R }) => 4 * (T * (H + R) * K + R + H) + 2 * Math.min(R, G) * S * (K + 4),
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
    S: number,
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
    size('T'),
    size('S', 'T', MAX_CONTEXT),
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
        'y[t,h] = sum over s <= p of softmax(<query[t,h] scale, key[g,s]>) value[g,s] for chosen heads, else 0; g = key_heads[h], or floor(h G / H)',
      reference: attention,
      relaxed: attentionRelaxed,
      fast: attentionFast,
      flops: ({ T, S, R, K }) => T * (S - (T - 1) / 2) * R * (4 * K + 26),
      bytes: ({ T, S, H, G, K, R }) => 4 * (T * (H + R) * K + R + H + 2 * Math.min(R, G) * S * K),
    },
    i8: attentionI8,
  },
)

/** Op definition. */
export const attentionBackwardOp: PlainOp<typeof attention_backward, [scale: number]> = defineOp({
  name: 'attention_backward',
  formula: 'query_grad, key_grad, value_grad of dense attention over a whole sequence',
  params: [
    output('query_grad', 'T H*K'),
    output('key_grad', 'T G*K'),
    output('value_grad', 'T G*K'),
    input('y_grad', 'T H*K'),
    input('query', 'T H*K'),
    input('key', 'G C K'),
    input('value', 'G C K'),
    scalar('scale', 0.05, 1),
    size('T', 0, MAX_CONTEXT),
    size('C', 'T'),
    size('H'),
    sizeNeededBy('G', 'H'),
    size('K'),
  ],
  reference: attention_backward,
  relaxed: attentionBackwardRelaxed,
  flops: ({ T, H, K }) => ((T * (T + 1)) / 2) * H * (11 * K + 30),
  bytes: ({ T, H, G, K }) => 4 * T * (3 * H + 2 * G + 2 * Math.min(H, G)) * K,
})
