/**
 * int4: blocks of 32 inputs of an output, whichever way the matrix lies, in one of two layouts (src/tensor/int4.ts). Products
 * round activations to int8 (`src/ops/int8_blocks.ts`).
 *
 * A matrix with a row per output is one buffer. One with a row per input has its scales and the block of each row beside it:
 * where rows are packed, they share the scales of the whole matrix if they have rows in all blocks, and say which block they are of.
 */
import type { Buffer } from '../../backends/backend.ts'
import type { BufferScope } from '../../backends/buffer_scope.ts'
import { valuesOf } from '../../backends/calls.ts'
import { linear_i4 } from '../../ops/linear_i4.ts'
import { linear_input_major_i4 } from '../../ops/linear_input_major_i4.ts'
import { transpose } from '../../ops/transpose.ts'
import { result } from '../../spec/plain.ts'
import {
  areFinite,
  BLOCK,
  BLOCK_BYTES,
  blocksOf,
  dequantizeBlocks,
  interleaveRows,
  openRow,
  QUAD_BYTES,
  quantizeBlocks,
  scaleAt,
  TILE,
  TILE_BYTES,
  turnBlocks,
  unitNumber,
} from '../../tensor/int4.ts'
import { int8 } from './int8.ts'
import { plainMatrix, type RowChunk, type RowsOf, type StorageRecord } from './storage.ts'

/** The storage. */
export const int4: StorageRecord<'int4'> = {
  name: 'int4',
  words: 'int4 with a scale and a minimum for each 32 numbers, used with activations of 8 bits',
  dtype: 'i4',
  numberBytes: BLOCK_BYTES / BLOCK,
  roundsActivations: true,
  block: BLOCK,
  infiniteFrom: 65_520,
  // No mask skips what stands outside the layers, and it is nearest to the logits.
  outside: int8,
  inFile: null,
  blocksInFile: { type: 'Q4_1', areFinite, widen: dequantizeBlocks },

  bytes(rows, columns, rowsOf) {
    const each = rowBytes(columns, rowsOf)
    if (rowsOf === 'outputs') return 4 * Math.ceil(rows / 4) * each
    return rows * each + Math.ceil(columns / TILE) * blocksOf(rows) * 2 * TILE * 4
  },
  rowBytes,

  /** Blocks wait on the host until all are there. */
  builder(scope, [O, I], isTurned) {
    const B = blocksOf(I)
    const words = new Uint32Array((O * B * BLOCK_BYTES) / 4)
    return {
      add({ start, values }: RowChunk<Float32Array | Uint32Array>) {
        const blocks = values instanceof Uint32Array ? values : quantizeBlocks(values, values.length / I, I)
        words.set(blocks, ((start / I) * B * BLOCK_BYTES) / 4)
      },
      build() {
        if (!isTurned)
          return scope.upload(interleaveRows(words, O, B), [Math.ceil(O / 4), B, QUAD_BYTES], 'i4')
        const { values, scales } = turnBlocks(words, O, I)
        const C = Math.ceil(O / TILE)
        return {
          values: scope.upload(values, [C, I, TILE_BYTES], 'i4'),
          scales: scope.upload(scales, [C, B, 2 * TILE]),
          blocks: scope.upload(blocksOfAll(I)),
        }
      },
    }
  },

  room(scope, of, rows) {
    const [first, ...rest] = valuesOf(of).shape
    if (!('blocks' in of)) return scope.allocate('i4', [Math.ceil(rows / 4), ...rest], 'anything')
    return { ...of, values: scope.allocate('i4', [first, rows, TILE_BYTES], 'anything') }
  },

  firstRows(scope, room, count, held, before) {
    const values = valuesOf(room)
    if (!('blocks' in room))
      return scope.backend.view(values, [Math.ceil(count / 4), ...values.shape.slice(1)])
    if (before && 'blocks' in before) {
      scope.free(before.blocks)
      if (before.scales !== room.scales) scope.free(before.scales)
    }
    const blocks = held().map(blockOf)
    const used = [...new Set(blocks)].sort((a, b) => a - b)
    const [C, B] = room.scales.shape
    if (used.length === B) return { ...room, blocks: scope.upload(blocks) }
    const places = new Map(used.map((block, place) => [block, place]))
    return {
      ...room,
      scales: scalesOf(scope, room.scales, C, B, used),
      blocks: scope.upload(blocks.map((block) => places.get(block) as number)),
    }
  },

  copyRows(backend, to, from, slots, rows) {
    const [y, x] = [valuesOf(to), valuesOf(from)]
    if (!('blocks' in from))
      return backend.ops.copy_interleaved_rows(y, x, slots, rows, 4 * y.shape[0], 4 * x.shape[0])
    for (let tile = 0; tile < x.shape[0]; tile++) {
      const rowsOfTile = (values: Buffer): Buffer => {
        const [, S] = values.shape
        return backend.view(values, [S, TILE_BYTES], tile * S * TILE_BYTES)
      }
      backend.ops.copy_rows(rowsOfTile(y), rowsOfTile(x), slots, rows)
    }
  },

  open(backend, matrix, columns) {
    const numbers = backend.read(valuesOf(matrix)) as Uint8Array
    const values = new Float32Array(columns)
    const { fround } = Math
    if (!('blocks' in matrix)) {
      const [, B] = valuesOf(matrix).shape
      return (row) => {
        const { numbers: own, scales, minima } = openRow(numbers, row, B)
        for (let i = 0; i < columns; i++) values[i] = fround(scales[blockOf(i)] * own[i]) + minima[blockOf(i)]
        return values
      }
    }
    const [, S] = matrix.values.shape
    const [, B] = matrix.scales.shape
    const [scales, blocks] = [backend.readF32(matrix.scales), backend.readI32(matrix.blocks)]
    return (row) => {
      for (let o = 0; o < columns; o++) {
        const at = scaleAt(o, blocks[row], B)
        values[o] = fround(scales[at] * unitNumber(numbers, o, row, S)) + scales[at + TILE]
      }
      return values
    }
  },

  plain(weight, isTurned) {
    const [O, I] = weight.shape
    const blocks = quantizeBlocks(weight.data, O, I)
    const [N, M] = isTurned ? [I, O] : [O, I]
    return plainMatrix(
      [N, M],
      (y, x, bias, T) => {
        const B = blocksOf(M)
        const quads = interleaveRows(blocks, N, B)
        linear_i4(y, x, quads, bias, null, T, N, M, N, Math.ceil(N / 4), B)
      },
      (y, x, bias, T) => {
        const { values, scales } = turnBlocks(blocks, M, N)
        const sizes = [T, M, N, N, Math.ceil(M / TILE), N, blocksOf(N)] as const
        linear_input_major_i4(y, x, values, scales, blocksOfAll(N), bias, null, ...sizes)
      },
      () => {
        throw new RangeError('int4: expected a matrix that is no table')
      },
      () => {
        const rows = dequantizeBlocks(blocks, O, I)
        return isTurned ? result([I, O], (y) => transpose(y, rows, O, I)).data : rows
      },
    )
  },
}

/** Of inputs with the number of its block, without scales, which are no row's. */
function rowBytes(columns: number, rowsOf: RowsOf): number {
  return rowsOf === 'outputs' ? blocksOf(columns) * BLOCK_BYTES : Math.ceil(columns / TILE) * TILE_BYTES + 4
}

/** The scales [C, B, 128] of some blocks, side by side: reading over gaps takes as long as reading them. */
function scalesOf(scope: BufferScope, scales: Buffer, C: number, B: number, used: readonly number[]): Buffer {
  const { backend } = scope
  const size = 2 * TILE
  const count = used.length
  const to = scope.allocate('f32', [C, count, size], 'anything')
  const list = backend.upload(
    Int32Array.from({ length: C * count }, (_, i) => Math.floor(i / count) * B + used[i % count]),
  )
  try {
    backend.ops.copy_rows(
      backend.view(to, [C * count, size]),
      backend.view(scales, [C * B, size]),
      null,
      list,
    )
  } finally {
    backend.free(list)
  }
  return to
}

/** The block of an input, and of all of them. */
const blockOf = (input: number): number => Math.floor(input / BLOCK)
const blocksOfAll = (inputs: number): Int32Array => Int32Array.from({ length: inputs }, (_, i) => blockOf(i))
