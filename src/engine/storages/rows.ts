/**
 * Storages whose rows lie one after the other, each with a scale or without.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import type { BufferScope } from '../../backends/buffer_scope.ts'
import { valuesOf } from '../../backends/calls.ts'
import { arrayTypes, type Numbers } from '../../ops/op.ts'
import { transpose } from '../../ops/transpose.ts'
import { result, type Matrix as PlainMatrix, type Tensor } from '../../spec/plain.ts'
import { partsOf, type Matrix, type RowChunk, type StorageRecord } from './storage.ts'

/** The properties of such a storage. */
type Own = 'name' | 'words' | 'dtype' | 'roundsActivations' | 'infiniteFrom' | 'inFile'
interface RowStorage<Name extends string> extends Pick<StorageRecord<Name>, Own> {
  readonly hasScales: boolean
  /** Rounds rows into those of a matrix; null where nothing is rounded. */
  readonly round: ((backend: Backend, x: Buffer, values: Buffer, scales: Buffer) => void) | null
  readonly openRows: (
    numbers: Numbers,
    scales: Float32Array,
    columns: number,
  ) => (row: number) => Float32Array
  /** Rows as they are held, on plain arrays. */
  readonly plainRows: (x: Tensor) => PlainMatrix
}

/** A storage of rows. */
export function rowStorage<Name extends string>(storage: RowStorage<Name>): StorageRecord<Name> {
  const { hasScales, round, openRows, plainRows, ...own } = storage
  const { dtype } = own
  const numberBytes = arrayTypes[dtype].BYTES_PER_ELEMENT
  const rowBytes = (columns: number): number => columns * numberBytes + (hasScales ? 4 : 0)
  const make = (scope: BufferScope, shape: readonly number[]): Matrix => {
    const values = scope.allocate(dtype, shape, 'anything')
    return hasScales ? { values, scales: scope.allocate('f32', [shape[0]], 'anything') } : values
  }
  return {
    ...own,
    numberBytes,
    block: 1,
    outside: null,
    blocksInFile: null,
    bytes: (rows, columns) => rows * rowBytes(columns),
    rowBytes,
    builder(scope, [O, ...rest], isTurned) {
      const { backend } = scope
      const [I = 1] = rest
      const matrix = make(scope, isTurned ? [I, O] : [O, ...rest])
      const store = (x: Buffer, first: number): void => {
        const [values, scales] = partsOf(rowsFrom(backend, matrix, x.shape[0], first))
        round?.(backend, x, values, scales)
        scope.free(x)
      }
      /** Where the rows of a matrix that is turned wait. */
      let asStored: Buffer | null = null // [O, I]
      return {
        add({ start, values }: RowChunk<Float32Array | Uint16Array>) {
          const isRounded = round !== null && values instanceof Float32Array
          if (isTurned) asStored ??= scope.allocate(isRounded ? 'f32' : dtype, [O, I], 'anything')
          if (isRounded && !isTurned) store(scope.upload(values, [values.length / I, I]), start / I)
          else backend.write(asStored ?? valuesOf(matrix), values, start)
        },
        build() {
          if (asStored === null) return matrix
          const isRounded = asStored.dtype !== dtype
          const turned = isRounded ? scope.allocate('f32', [I, O], 'anything') : valuesOf(matrix)
          backend.ops.transpose(turned, asStored)
          scope.free(asStored)
          if (isRounded) store(turned, 0)
          return matrix
        },
      }
    },
    room: (scope, of, rows) => make(scope, [rows, ...valuesOf(of).shape.slice(1)]),
    firstRows: ({ backend }, room, count) => rowsFrom(backend, room, count, 0),
    copyRows(backend, to, from, slots, rows) {
      const asRows = (part: Buffer): Buffer =>
        part.shape.length === 1 ? backend.view(part, [part.length, 1]) : part
      const parts = partsOf(from)
      partsOf(to).forEach((part, i) => backend.ops.copy_rows(asRows(part), asRows(parts[i]), slots, rows))
    },
    open(backend, matrix, columns) {
      const scales = 'scales' in matrix ? backend.readF32(matrix.scales) : new Float32Array(0)
      return openRows(backend.read(valuesOf(matrix)), scales, columns)
    },
    plain(weight, isTurned) {
      const [O, I] = weight.shape
      return plainRows(isTurned ? result([I, O], (y) => transpose(y, weight.data, O, I)) : weight)
    },
  }
}

/** A view of rows of a matrix, or of a vector. */
function rowsFrom(backend: Backend, matrix: Matrix, count: number, first: number): Matrix {
  const rows = (part: Buffer): Buffer => {
    const [, columns = 1] = part.shape
    return backend.view(part, [count, ...part.shape.slice(1)], first * columns)
  }
  return 'scales' in matrix ? { values: rows(matrix.values), scales: rows(matrix.scales) } : rows(matrix)
}
