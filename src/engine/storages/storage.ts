/**
 * What a storage of weight matrices says: how numbers are rounded, held inside a backend, packed and read back, and what products
 * with them are by definition.
 *
 * A matrix is held a row per output, or turned, a row per input. Ops take it as it is: the element type of its numbers chooses
 * the kernel of `linear` and of `linear_input_major`.
 */
import type { Backend, Buffer, StoredBuffer } from '../../backends/backend.ts'
import type { BufferScope } from '../../backends/buffer_scope.ts'
import { arrayTypes, type Dtype } from '../../ops/op.ts'
import { result, type Matrix as PlainMatrix, type Tensor } from '../../spec/plain.ts'
import type { SourceDtype } from '../../tensor/tensor_source.ts'

/** A matrix [rows, columns] inside a backend, or a vector: its numbers, with scales where they have any. */
export type Matrix = StoredBuffer

/** Whether each row of a matrix belongs to an output or to an input. */
export type RowsOf = 'outputs' | 'inputs'

/** Consecutive whole rows of a parameter, as Hugging Face stores them. */
export interface RowChunk<Values = Float32Array | Uint16Array | Uint32Array> {
  /** The place of its first number among those of the parameter. */
  readonly start: number
  /** float32, or the numbers or blocks of a file that the storage takes as they are; good until the next chunk is asked for. */
  readonly values: Values
}

/** A matrix on its way from its rows. */
interface MatrixBuilder {
  add(chunk: RowChunk): void
  /** The matrix, once all rows are added. */
  build(): Matrix
}

/** One storage. */
export interface StorageRecord<Name extends string = string> {
  readonly name: Name
  /** A description for people who choose one. */
  readonly words: string
  /** The element type of its numbers. Storages that share one hold a matrix alike, and differ in how they round it. */
  readonly dtype: Dtype
  /** Bytes of a number. The scales of blocks have a part in it, those of rows have none. */
  readonly numberBytes: number
  /** Whether activations are rounded to whole numbers that meet these weights; such products have no gradient. */
  readonly roundsActivations: boolean
  /** Neighbouring inputs that are rounded together, where a matrix has a row per input. */
  readonly block: number
  /** The least size of a number that would become infinite. */
  readonly infiniteFrom: number
  /** The storage of matrices outside the layers, where that is another. */
  readonly outside: StorageRecord | null
  /** The element type of files whose numbers are taken as they are. */
  readonly inFile: SourceDtype | null
  /** The same for blocks, by their type in GGUF; `widen` gives the numbers of whole rows. */
  readonly blocksInFile: {
    readonly type: string
    readonly areFinite: (words: Uint32Array) => boolean
    readonly widen: (words: Uint32Array, rows: number, columns: number) => Float32Array
  } | null

  /** Bytes a matrix takes. */
  bytes(rows: number, columns: number, rowsOf: RowsOf): number
  /** Bytes of one of its rows, and of what belongs to that row alone. */
  rowBytes(columns: number, rowsOf: RowsOf): number
  /** Makes a matrix [O, I], or a vector, that lives as long as the scope. */
  builder(scope: BufferScope, shape: readonly number[], isTurned: boolean): MatrixBuilder
  /** A matrix with room for so many rows of another that lives as long as the scope. */
  room(scope: BufferScope, of: Matrix, rows: number): Matrix
  /**
   * The first rows of such a room as a matrix, which `copyRows` writes.
   * @param held which rows of the whole matrix they are to be
   * @param before what an earlier call for this room gave, which is not used any more
   */
  firstRows(scope: BufferScope, room: Matrix, count: number, held: () => Int32Array, before?: Matrix): Matrix
  /** Copies rows of a matrix, or vector, to these slots of another, null for the first ones in order. */
  copyRows(backend: Backend, to: Matrix, from: Matrix, slots: Buffer | null, rows: Buffer): void
  /** A copy of a matrix on the host, whose rows are widened one at a time: the next one overwrites the last. */
  open(backend: Backend, matrix: Matrix, columns: number): (row: number) => Float32Array
  /** Weights [O, I] in this storage on plain arrays, by the definitions of `src/ops`. */
  plain(weight: Tensor, isTurned: boolean): PlainMatrix
}

/** The buffers of a matrix. */
export function partsOf(matrix: Matrix): Buffer[] {
  return 'values' in matrix ? Object.values(matrix) : [matrix]
}

/** Bytes a matrix takes. */
export function matrixBytes(matrix: Matrix): number {
  return partsOf(matrix).reduce(
    (sum, { dtype, length }) => sum + length * arrayTypes[dtype].BYTES_PER_ELEMENT,
    0,
  )
}

/** A product of T tokens as its definition writes it to y. */
type Product = (y: Float32Array, x: Float32Array, bias: Float32Array | null, T: number) => void

/** A matrix on plain arrays by what writes its products, picked rows and numbers. */
export function plainMatrix(
  [rows, columns]: readonly number[],
  dots: Product,
  sums: Product,
  pick: (y: Float32Array, ids: Int32Array) => void,
  widen: () => Float32Array,
): PlainMatrix {
  const product =
    (width: number, write: Product): PlainMatrix['dots'] =>
    (x, bias) =>
      result([x.shape[0], width], (y) => write(y, x.data, bias?.data ?? null, x.shape[0]))
  return {
    rows,
    columns,
    dots: product(rows, dots),
    sums: product(columns, sums),
    pick: (ids) => result([ids.length, columns], (y) => pick(y, ids)),
    widen: () => result([rows, columns], (y) => y.set(widen())),
  }
}
