/**
 * embedding: y[t] = table[ids[t]].
 * embedding_bf16, embedding_f16: the same over a table in half precision; embedding_i8: times the scale of the row.
 * embedding_backward: table_grad[ids[t]] += y_grad[t], sequential in t.
 */
import { addArrays, widenArray } from './elementwise'
import { bytes } from './float32'
import { bf16, f16, prepare, storedRow } from './storage'
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

export function embedding_bf16(
  y: usize, // [T, D]
  table: usize, // [V, D] bf16
  ids: usize, // [T]
  T: i32,
  V: i32,
  D: i32,
): void {
  widenRows<bf16>(y, table, ids, T, D)
}

export function embedding_f16(
  y: usize, // [T, D]
  table: usize, // [V, D] f16
  ids: usize, // [T]
  T: i32,
  V: i32,
  D: i32,
): void {
  widenRows<f16>(y, table, ids, T, D)
}

function widenRows<W>(y: usize, table: usize, ids: usize, T: i32, D: i32): void {
  prepare<W>()
  for (let t = 0; t < T; t++) widenArray<W>(rowAt(y, t, D), storedRow<W>(table, unitAt(ids, t), D), D)
}

export function embedding_i8(
  y: usize, // [T, D]
  table: usize, // [V, D] i8
  scales: usize, // [V]
  ids: usize, // [T]
  T: i32,
  V: i32,
  D: i32,
): void {
  for (let t = 0; t < T; t++) {
    const row = unitAt(ids, t)
    const scale = load<f32>(scales + bytes(row))
    const from = storedRow<i8>(table, row, D)
    const to = rowAt(y, t, D)
    for (let d = 0; d < D; d++) store<f32>(to + bytes(d), scale * <f32>load<i8>(from + <usize>d))
  }
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
