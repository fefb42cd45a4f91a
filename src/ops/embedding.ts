/**
 * embedding: a table row per token. OPT uses it twice: tokens [V, E], and learned positions [positions + 2, D] whose
 * index is the position plus two, as in Hugging Face's OPT.
 *
 *   y[t] = table[ids[t]]            table_grad[ids[t]] += y_grad[t], sequential in t
 *
 * The table may be stored in half precision (embedding_bf16, embedding_f16), or in int8 with a scale for each row
 * (embedding_i8: y[t] = scales[ids[t]] * table[ids[t]]); what learns is float32.
 */
import {
  accumulator,
  arrayTypes,
  defineOp,
  ids as idList,
  input,
  output,
  size,
  type Dtype,
  type GradientRule,
  type Op,
} from './op.ts'
import { bf16Rows, f16Rows, f32Rows, type StoredRows } from './stored_rows.ts'

function copyRows(
  y: Float32Array, // [T, D]
  table: StoredRows, // [., D]
  ids: Int32Array, // [T]
  T: number,
  D: number,
): void {
  for (let t = 0; t < T; t++) {
    const row = table.open(ids[t])
    for (let d = 0; d < D; d++) y[t * D + d] = table.values[row + d]
  }
}

/** Copies the chosen rows of a table. */
export function embedding(
  y: Float32Array, // [T, D]
  table: Float32Array, // [V, D]
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
): void {
  copyRows(y, f32Rows(table, D), ids, T, D)
}

/** Widens the chosen rows of a table. */
export function embedding_bf16(
  y: Float32Array, // [T, D]
  table: Uint16Array, // [V, D], bf16
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
): void {
  copyRows(y, bf16Rows(table, D), ids, T, D)
}

/** Widens the chosen rows of a table. */
export function embedding_f16(
  y: Float32Array, // [T, D]
  table: Uint16Array, // [V, D], f16
  ids: Int32Array, // [T], in [0, V)
  T: number,
  _V: number,
  D: number,
): void {
  copyRows(y, f16Rows(table, D), ids, T, D)
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

function rowOf<Args extends readonly unknown[]>(
  name: string,
  dtype: Dtype,
  reference: (...args: Args) => void,
  gradients: readonly GradientRule[] = [],
): Op<Args> {
  return defineOp({
    name,
    formula: 'y[t] = table[ids[t]]',
    params: [
      output('y', 'T D'),
      input('table', 'V D', { dtype }),
      idList('ids', 'T', 'V'),
      size('T'),
      size('V', 1),
      size('D'),
    ],
    reference,
    flops: () => 0,
    bytes: ({ T, D }) => (4 + arrayTypes[dtype].BYTES_PER_ELEMENT) * T * D + 4 * T,
    gradients,
  })
}

/** Catalogue row. */
export const embeddingOp: Op<Parameters<typeof embedding>> = rowOf('embedding', 'f32', embedding, [
  {
    of: ['table'],
    op: 'embedding_backward',
    bind: { table_grad: 'table_grad', y_grad: 'y_grad', ids: 'ids', T: 'T', V: 'V', D: 'D' },
  },
])

/** Catalogue row. */
export const embeddingBf16Op: Op<Parameters<typeof embedding_bf16>> = rowOf(
  'embedding_bf16',
  'bf16',
  embedding_bf16,
)

/** Catalogue row. */
export const embeddingF16Op: Op<Parameters<typeof embedding_f16>> = rowOf(
  'embedding_f16',
  'f16',
  embedding_f16,
)

/** Catalogue row. */
export const embeddingI8Op: Op<Parameters<typeof embedding_i8>> = defineOp({
  name: 'embedding_i8',
  formula: 'y[t] = scales[ids[t]] table[ids[t]]',
  params: [
    output('y', 'T D'),
    input('table', 'V D', { dtype: 'i8' }),
    input('scales', 'V', { least: 0 }),
    idList('ids', 'T', 'V'),
    size('T'),
    size('V', 1),
    size('D'),
  ],
  reference: embedding_i8,
  flops: ({ T, D }) => T * D,
  bytes: ({ T, D }) => 5 * T * D + 8 * T,
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
