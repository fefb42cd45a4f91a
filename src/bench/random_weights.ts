/**
 * Weights for models too large to draw number by number: matrices repeat one block of random numbers, normal with
 * deviation 0.02 as OPT starts from; biases are 0, norms 1 and 0.
 *
 * The block's length is a prime, so that no two rows of a matrix are alike until they are as many as the block has
 * numbers, and each tensor begins somewhere else in it. Time does not depend on the values; scores should not be ties.
 */
import { InputError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import {
  checkRows,
  rowsOf,
  type StoredRows,
  type TensorInfo,
  type TensorSource,
} from '../tensor/tensor_source.ts'

/** Numbers of the block. */
const PERIOD = 65521

/** How far apart in the block two tensors begin. */
const STRIDE = 4099

const DEVIATION = 0.02

/** A block of random numbers, as long as it has to be. */
export class RandomBlock {
  readonly #block: Float32Array

  constructor(seed: number) {
    const random = new Random(seed)
    this.#block = Float32Array.from({ length: PERIOD }, () => DEVIATION * random.normal())
  }

  /** `length` numbers from any place on. */
  take(start: number, length: number): Float32Array {
    const values = new Float32Array(length)
    let from = start % PERIOD
    for (let at = 0; at < length;) {
      const part = this.#block.subarray(from, Math.min(PERIOD, from + length - at))
      values.set(part, at)
      at += part.length
      from = 0
    }
    return values
  }
}

/** Tensors of these names and shapes, whole or some rows of them; nothing is held but the block. */
export class RandomSource implements TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly #block: RandomBlock
  readonly #starts = new Map<string, number>()

  constructor(shapes: ReadonlyMap<string, readonly number[]>, seed: number) {
    this.#block = new RandomBlock(seed)
    const infos = new Map<string, TensorInfo>()
    for (const [name, shape] of shapes) {
      const length = shape.reduce((product, size) => product * size, 1)
      this.#starts.set(name, STRIDE * infos.size)
      infos.set(name, { name, dtype: 'F32', shape, byteLength: 4 * length })
    }
    this.tensors = infos
  }

  /** @throws InputError TENSOR_MISSING */
  async read(name: string): Promise<Float32Array> {
    return this.readRows(name, 0, rowsOf(this.#find(name).shape).rows)
  }

  /** @throws InputError TENSOR_MISSING; UsageError ROW_RANGE */
  async readRows(name: string, first: number, count: number): Promise<Float32Array> {
    const info = this.#find(name)
    checkRows(info, first, count)
    if (info.shape.length === 1) return new Float32Array(count).fill(name.endsWith('norm.weight') ? 1 : 0)
    const { columns } = rowsOf(info.shape)
    return this.#block.take((this.#starts.get(name) ?? 0) + first * columns, count * columns)
  }

  /** @throws InputError TENSOR_MISSING */
  async *stream(name: string, partLength: number): AsyncGenerator<StoredRows> {
    const info = this.#find(name)
    const { rows, columns } = rowsOf(info.shape)
    const atOnce = Math.max(1, Math.floor(partLength / (4 * columns)))
    for (let first = 0; first < rows; first += atOnce) {
      const values = await this.readRows(name, first, Math.min(atOnce, rows - first))
      yield { first, bytes: new Uint8Array(values.buffer) }
    }
  }

  async close(): Promise<void> {}

  #find(name: string): TensorInfo {
    const info = this.tensors.get(name)
    if (info) return info
    throw new InputError('TENSOR_MISSING', `${name}: expected this tensor, got none`, { tensor: name })
  }
}
