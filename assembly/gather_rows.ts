/**
 * gather_rows: y[r] = x[rows[r]]; gather_rows_bf16, gather_rows_f16, gather_rows_i8: the same, whatever the rows hold.
 */
import { bf16, f16, storedRow } from './storage'
import { unitAt } from './units'

export function gather_rows(
  y: usize, // [R, I]
  x: usize, // [O, I]
  rows: usize, // [R]
  O: i32,
  I: i32,
  R: i32,
): void {
  copyRows<f32>(y, x, rows, I, R)
}

export function gather_rows_bf16(
  y: usize, // [R, I] bf16
  x: usize, // [O, I] bf16
  rows: usize, // [R]
  O: i32,
  I: i32,
  R: i32,
): void {
  copyRows<bf16>(y, x, rows, I, R)
}

export function gather_rows_f16(
  y: usize, // [R, I] f16
  x: usize, // [O, I] f16
  rows: usize, // [R]
  O: i32,
  I: i32,
  R: i32,
): void {
  copyRows<f16>(y, x, rows, I, R)
}

export function gather_rows_i8(
  y: usize, // [R, I] i8
  x: usize, // [O, I] i8
  rows: usize, // [R]
  O: i32,
  I: i32,
  R: i32,
): void {
  copyRows<i8>(y, x, rows, I, R)
}

function copyRows<W>(y: usize, x: usize, rows: usize, I: i32, R: i32): void {
  const size = storedRow<W>(0, 1, I)
  for (let r = 0; r < R; r++) memory.copy(storedRow<W>(y, r, I), storedRow<W>(x, unitAt(rows, r), I), size)
}
