/**
 * embedding: a table row per token. OPT uses it twice: tokens [V, E], and learned positions [positions + 2, D] whose
 * index is the position plus two, as in Hugging Face's OPT.
 *
 *   y[t] = table[ids[t]]            table_grad[ids[t]] += y_grad[t], sequential in t
 *
 * The table may be stored in half precision, and is widened then, or in int8 with a scale for each row (embedding_i8:
 * y[t] = scales[ids[t]] * table[ids[t]]); what learns is float32.
 */
import { storedRows, type FloatStorage } from '../tensor/halves.ts'

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
