/**
 * embedding: y[t] = table[ids[t]].
 * embedding_backward: table_grad[ids[t]] += y_grad[t], sequential in t.
 */
import { addArrays } from './elementwise'
import { bytes } from './float32'
import { rowAt, unitAt } from './units'

export function embedding(
  y: usize, // [T, D]
  table: usize, // [V, D]
  ids: usize, // [T]
  T: i32,
  V: i32,
  D: i32,
): void {
  for (let t = 0; t < T; t++) memory.copy(rowAt(y, t, D), rowAt(table, unitAt(ids, t), D), bytes(D))
}

export function embedding_backward(
  table_grad: usize, // [V, D]
  y_grad: usize, // [T, D]
  ids: usize, // [T]
  T: i32,
  V: i32,
  D: i32,
): void {
  for (let t = 0; t < T; t++) {
    const row = rowAt(table_grad, unitAt(ids, t), D)
    addArrays(row, row, rowAt(y_grad, t, D), D)
  }
}
