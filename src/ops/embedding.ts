/**
 * embedding: a table row per token. OPT uses it twice: tokens [V, E], and learned positions [positions + 2, D] whose
 * index is the position plus two, as in Hugging Face's OPT.
 *
 *   y[t] = table[ids[t]]            table_grad[ids[t]] += y_grad[t], sequential in t
 */
import { accumulator, defineOp, ids as idList, input, output, size, type Op } from './op.ts'

/** Copies the chosen rows of a table. */
export function embedding(
  y: Float32Array, // [T, D]
  table: Float32Array, // [V, D]
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) for (let d = 0; d < D; d++) y[t * D + d] = table[ids[t] * D + d]
}

/** Adds each token's gradient to its row. */
export function embedding_backward(
  table_grad: Float32Array, // [V, D]
  y_grad: Float32Array, // [T, D]
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) for (let d = 0; d < D; d++) table_grad[ids[t] * D + d] += y_grad[t * D + d]
}

/** Catalogue row. */
export const embeddingOp: Op<Parameters<typeof embedding>> = defineOp({
  name: 'embedding',
  formula: 'y[t] = table[ids[t]]',
  params: [
    output('y', 'T D'),
    input('table', 'V D'),
    idList('ids', 'T', 'V'),
    size('T'),
    size('V', 1),
    size('D'),
  ],
  reference: embedding,
  flops: () => 0,
  bytes: ({ T, D }) => 4 * (2 * T * D + T),
  gradients: [
    {
      of: ['table'],
      op: 'embedding_backward',
      bind: { table_grad: 'table_grad', y_grad: 'y_grad', ids: 'ids', T: 'T', V: 'V', D: 'D' },
    },
  ],
})

/** Catalogue row. */
export const embeddingBackwardOp: Op<Parameters<typeof embedding_backward>> = defineOp({
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
  bytes: ({ T, D }) => 4 * (3 * T * D + T),
})
