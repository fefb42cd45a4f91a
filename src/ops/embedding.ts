/**
 * embedding: a table row per token. OPT uses it twice: tokens [V, E], and learned positions [positions + 2, D] whose
 * index is the position plus two, as in Hugging Face's OPT.
 *
 *   y[t] = table[ids[t]]            table_grad[ids[t]] += y_grad[t], sequential in t
 *
 * The table may be stored in half precision, and is widened then, or in int8 with a scale for each row (embedding_i8:
 * y[t] = scales[ids[t]] * table[ids[t]]); what learns is float32.
 */
import {
  accumulator,
  arrayTypes,
  defineOp,
  defineStoredOp,
  ids as idList,
  input,
  output,
  size,
  stored,
  type GradientRule,
  type InStorage,
  type Op,
  type PlainOp,
  type StorageDescription,
  type Stored,
} from './op.ts'
import { storedRows, type FloatStorage } from './stored_rows.ts'

/** Copies the chosen rows of a table. */
export function embedding(
  y: Float32Array, // [T, D]
  table: Float32Array | Uint16Array, // [V, D]
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
  storage: FloatStorage = 'f32',
): void {
  const { values, open } = storedRows(table, D, storage)
  for (let t = 0; t < T; t++) {
    const row = open(ids[t])
    for (let d = 0; d < D; d++) y[t * D + d] = values[row + d]
  }
}

/** Multiplies the chosen rows of a table by their scales. */
export function embedding_i8(
  y: Float32Array, // [T, D]
  table: Int8Array, // [V, D]
  scales: Float32Array, // [V]
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
): void {
  for (let t = 0; t < T; t++)
    for (let d = 0; d < D; d++) y[t * D + d] = scales[ids[t]] * table[ids[t] * D + d]
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
    f32: inFloats('f32', [
      {
        of: ['table'],
        op: 'embedding_backward',
        bind: { table_grad: 'table_grad', y_grad: 'y_grad', ids: 'ids', T: 'T', V: 'V', D: 'D' },
      },
    ]),
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
