/**
 * The contract of embedding: parameters, cost, gradients and bounds.
 */
import type { FloatStorage } from '../../tensor/halves.ts'
import {
  type GradientRule,
  type StorageDescription,
  arrayTypes,
  type Op,
  type Stored,
  type InStorage,
  defineStoredOp,
  output,
  stored,
  input,
  ids as idList,
  size,
  type PlainOp,
  defineOp,
  accumulator,
} from '../op.ts'
import { embedding, embedding_i8, embedding_backward } from '../embedding.ts'

/** In a storage that is widened. */
function inFloats(
  storage: FloatStorage,
  gradients: readonly GradientRule[] = [],
): StorageDescription<Parameters<typeof embedding>> {
  return {
    formula: 'y[t] = table[ids[t]]',
    reference: (y, table, ids, T, V, D) => embedding(y, table, ids, T, V, D, storage),
    flops: () => 0,
    bytes: ({ T, D }) => (4 + arrayTypes[storage].BYTES_PER_ELEMENT) * T * D + 4 * T,
    gradients,
  }
}

/** Op definition. */
export const embeddingOp: Op<
  [y: Float32Array, table: Stored, ids: Int32Array],
  {
    f32: InStorage<typeof embedding, Float32Array>
    bf16: InStorage<typeof embedding, Uint16Array>
    f16: InStorage<typeof embedding, Uint16Array>
    i8: typeof embedding_i8
  }
> = defineStoredOp(
  'embedding',
  [
    output('y', 'T D'),
    stored(input('table', 'V D'), input('scales', 'V', { least: 0 })),
    idList('ids', 'T', 'V'),
    size('T'),
    size('V', 1),
    size('D'),
  ],
  {
    f32: inFloats('f32', [{ of: ['table'], op: 'embedding_backward' }]),
    bf16: inFloats('bf16'),
    f16: inFloats('f16'),
    i8: {
      formula: 'y[t] = scales[ids[t]] table[ids[t]]',
      reference: embedding_i8,
      flops: ({ T, D }) => T * D,
      bytes: ({ T, D }) => 5 * T * D + 8 * T,
    },
  },
)

/** Op definition. */
export const embeddingBackwardOp: PlainOp<typeof embedding_backward> = defineOp({
  name: 'embedding_backward',
  formula: 'table_grad[ids[t]] += y_grad[t]',
  params: [
    accumulator('table_grad', 'V D'),
    input('y_grad', 'T D'),
    idList('ids', 'T', 'V'),
    size('T'),
    size('V', 1),
    size('D'),
  ],
  reference: embedding_backward,
  flops: ({ T, D }) => T * D,
  bytes: ({ T, D }) => 4 * (2 * T * D + T),
})
