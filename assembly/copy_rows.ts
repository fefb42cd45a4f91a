/**
 * copy_rows: y[slots[r]] = x[rows[r]]; the other rows of y are unchanged. copy_rows_bf16, copy_rows_f16, copy_rows_i8,
 * copy_rows_i4: the same for other element types.
 */
import { bf16, f16, storedRow } from './storage'
import { unitAt } from './units'

export function copy_rows(
  y: usize, // [S, I]
  x: usize, // [O, I]
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  copy<f32>(y, x, slots, rows, I, R)
}

export function copy_rows_bf16(
  y: usize, // [S, I] bf16
  x: usize, // [O, I] bf16
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  copy<bf16>(y, x, slots, rows, I, R)
}

export function copy_rows_f16(
  y: usize, // [S, I] f16
  x: usize, // [O, I] f16
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  copy<f16>(y, x, slots, rows, I, R)
}

export function copy_rows_i8(
  y: usize, // [S, I] i8
  x: usize, // [O, I] i8
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  copy<i8>(y, x, slots, rows, I, R)
}

export function copy_rows_i4(
  y: usize, // [S, I] bytes
  x: usize, // [O, I] bytes
  slots: usize, // [R] or null
  rows: usize, // [R]
  S: i32,
  O: i32,
  I: i32,
  R: i32,
): void {
  copy<i8>(y, x, slots, rows, I, R)
}

function copy<W>(y: usize, x: usize, slots: usize, rows: usize, I: i32, R: i32): void {
  const size = storedRow<W>(0, 1, I)
  for (let r = 0; r < R; r++)
    memory.copy(storedRow<W>(y, unitAt(slots, r), I), storedRow<W>(x, unitAt(rows, r), I), size)
}
