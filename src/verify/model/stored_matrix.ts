/**
 * Matrices in every storage, as `src/spec` reads matrices: each product by its definition in `src/ops`.
 *
 * bf16 and f16 are widened to float32 before use, which is exact. int8 numbers have one scale per row; products with them also
 * round activations to int16 (`src/ops/quantized_steps.ts`). int4 is blocks of 32 inputs of an output (`src/tensor/int4.ts`),
 * whichever way the matrix lies; products with it also round activations, to int8 (`src/ops/int8_blocks.ts`).
 */
import type { Storage } from '../../engine/matrix.ts'
import { embedding, embedding_i8 } from '../../ops/embedding.ts'
import { linear } from '../../ops/linear.ts'
import { linear_i4 } from '../../ops/linear_i4.ts'
import { linear_i8 } from '../../ops/linear_i8.ts'
import { linear_input_major } from '../../ops/linear_input_major.ts'
import { linear_input_major_i4 } from '../../ops/linear_input_major_i4.ts'
import { linear_input_major_i8 } from '../../ops/linear_input_major_i8.ts'
import { transpose } from '../../ops/transpose.ts'
import { matrix, result, tensor, type Matrix, type Tensor } from '../../spec/plain.ts'
import { dequantizeRows, quantizeRows } from '../../tensor/dtypes.ts'
import { narrowToBf16, narrowToF16, widenBf16, widenF16 } from '../../tensor/halves.ts'
import { BLOCK, blocksOf, dequantizeBlocks, interleaveRows, quantizeBlocks } from '../../tensor/int4.ts'
import { TILE, turnBlocks } from '../../tensor/int4.ts'

/** Rounds weights [O, I] to a storage: a matrix with one row per output, or turned, with one per input. */
export function storeWeight(weight: Tensor, storage: Storage, isTurned: boolean): Matrix {
  const [O, I] = weight.shape
  if (storage === 'int4') return int4(quantizeBlocks(weight.data, O, I), O, I, isTurned)
  const x = isTurned ? result([I, O], (y) => transpose(y, weight.data, O, I)) : weight
  if (storage === 'f32') return matrix(x)
  if (storage === 'int8') return int8(x)
  return half(x, storage)
}

/** y of these sizes, written by an operation, and the numbers of its bias. */
const product = (x: Tensor, outputs: number, write: (y: Float32Array, T: number) => void): Tensor =>
  result([x.shape[0], outputs], (y) => write(y, x.shape[0]))
const numbersOf = (bias: Tensor | null): Float32Array | null => bias?.data ?? null

function half(x: Tensor, storage: 'bf16' | 'f16'): Matrix {
  const [rows, columns] = x.shape
  const numbers = (storage === 'bf16' ? narrowToBf16 : narrowToF16)(x.data)
  return {
    rows,
    columns,
    dots: (x, bias) =>
      product(x, rows, (y, T) =>
        linear(y, x.data, numbers, numbersOf(bias), null, T, rows, columns, rows, storage),
      ),
    sums: (x, bias) =>
      product(x, columns, (y, T) =>
        linear_input_major(y, x.data, numbers, numbersOf(bias), null, T, columns, rows, rows, storage),
      ),
    pick: (ids) =>
      result([ids.length, columns], (y) => embedding(y, numbers, ids, ids.length, rows, columns, storage)),
    widen: () => tensor((storage === 'bf16' ? widenBf16 : widenF16)(numbers), rows, columns),
  }
}

function int8(x: Tensor): Matrix {
  const [rows, columns] = x.shape
  const { values, scales } = quantizeRows(x.data, rows, columns)
  return {
    rows,
    columns,
    dots: (x, bias) =>
      product(x, rows, (y, T) =>
        linear_i8(y, x.data, values, scales, numbersOf(bias), null, T, rows, columns, rows),
      ),
    sums: (x, bias) =>
      product(x, columns, (y, T) =>
        linear_input_major_i8(y, x.data, values, scales, numbersOf(bias), null, T, columns, rows, rows),
      ),
    pick: (ids) =>
      result([ids.length, columns], (y) => embedding_i8(y, values, scales, ids, ids.length, rows, columns)),
    widen: () => tensor(dequantizeRows({ rows, columns, values, scales }), rows, columns),
  }
}

function int4(blocks: Uint32Array, O: number, I: number, isTurned: boolean): Matrix {
  const [rows, columns] = isTurned ? [I, O] : [O, I]
  return {
    rows,
    columns,
    dots: (x, bias) =>
      product(x, rows, (y, T) => {
        const B = blocksOf(columns)
        const sizes = [T, rows, columns, rows, Math.ceil(rows / 4), B] as const
        linear_i4(y, x.data, interleaveRows(blocks, rows, B), numbersOf(bias), null, ...sizes)
      }),
    sums: (x, bias) =>
      product(x, columns, (y, T) => {
        const { values, scales } = turnBlocks(blocks, columns, rows)
        const ofInput = Int32Array.from({ length: rows }, (_, i) => Math.floor(i / BLOCK))
        const sizes = [T, columns, rows, rows, Math.ceil(columns / TILE), rows, blocksOf(rows)] as const
        linear_input_major_i4(y, x.data, values, scales, ofInput, numbersOf(bias), null, ...sizes)
      }),
    pick: () => {
      throw new RangeError('int4: expected a matrix that is no table')
    },
    widen: () => {
      const x = dequantizeBlocks(blocks, O, I)
      return isTurned ? result([I, O], (y) => transpose(y, x, O, I)) : tensor(x, O, I)
    },
  }
}
