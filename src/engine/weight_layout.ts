/**
 * How parameters lie inside a backend, and the way there and back.
 *
 * A parameter has the layout Hugging Face stores it in, but for those that `combine` reads (out and fc2, or o_proj and down_proj):
 * these are held input-major, one row per input, so that a head's channels and a neuron's weights are each contiguous and
 * skipping them skips their bytes.
 * What belongs to a parameter - its gradient, the moments of an optimiser - lies as the parameter does. Turning a matrix
 * moves numbers and changes none, so values come back bit for bit.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { valuesOf } from '../backends/calls.ts'
import { UsageError } from '../tensor/errors.ts'
import { BLOCK_BYTES, blocksOf, quantizeBlocks } from '../tensor/int4.ts'
import type { HostTensor } from '../tensor/memory_source.ts'
import type { ModelConfig } from './config.ts'
import {
  inputRows,
  makeMatrix,
  outputRows,
  storedBytes,
  storeRows,
  type Matrix,
  type Storage,
} from './matrix.ts'
import type { ModelParameter } from './plan.ts'
import { modelParameters } from './program.ts'
import type { BlockChunk, RowChunk } from './weight_reader.ts'

/** The shape a parameter is held in. */
function heldShape({ shape, isTurned }: ModelParameter): readonly number[] {
  return isTurned ? shape.toReversed() : shape
}

/**
 * The storage of a parameter in a model whose matrices are stored as `storage`: vectors and the position table, which are
 * few and read once, stay float32. The token table and the head of an int4 model are int8, and what stands beside them: no
 * mask skips them, and they are nearest to the logits.
 */
export function storageOf({ shape, layer, isPositions }: ModelParameter, storage: Storage): Storage {
  if (shape.length === 1 || isPositions) return 'f32'
  return layer === null ? outerStorage(storage) : storage
}

/** The storage of matrices outside the layers. */
function outerStorage(storage: Storage): Storage {
  return storage === 'int4' ? 'int8' : storage
}

/** Bytes a parameter takes in a storage. */
export function parameterBytes(parameter: ModelParameter, storage: Storage): number {
  const [rows, columns = 1] = heldShape(parameter)
  return storedBytes(storage, rows, columns, parameter.isTurned ? 'inputs' : 'outputs')
}

/**
 * Makes what a parameter is held in, and fills it from its rows as Hugging Face stores them: a chunk at a time, but for
 * a matrix that is turned, which takes all rows.
 */
export async function loadParameter(
  scope: BufferScope,
  { shape, isTurned }: ModelParameter,
  storage: Exclude<Storage, 'int4'>,
  chunks: AsyncIterable<RowChunk>,
): Promise<Matrix> {
  const [rows, columns = 1] = shape
  if (isTurned) return loadTurned(scope, rows, columns, storage, chunks)
  const { backend } = scope
  const matrix = makeMatrix(scope, storage, shape, 'anything')
  for await (const { start, values } of chunks)
    if (storage === 'f32' || values instanceof Uint16Array) backend.write(valuesOf(matrix), values, start)
    else {
      const x = backend.upload(values, [values.length / columns, columns])
      try {
        storeRows(backend, matrix, x, start / columns)
      } finally {
        backend.free(x)
      }
    }
  return matrix
}

/** The same for int4, in the layout of the parameter. Its blocks wait on the host until all are there. */
export async function loadInt4(
  scope: BufferScope,
  { shape: [O, I], isTurned }: ModelParameter,
  chunks: AsyncIterable<BlockChunk>,
): Promise<Matrix> {
  const words = new Uint32Array((O * blocksOf(I) * BLOCK_BYTES) / 4)
  for await (const { start, values } of chunks) {
    const blocks = values instanceof Uint32Array ? values : quantizeBlocks(values, values.length / I, I)
    words.set(blocks, ((start / I) * blocksOf(I) * BLOCK_BYTES) / 4)
  }
  return isTurned ? inputRows(scope, words, O, I) : outputRows(scope, words, O, I)
}

/** A matrix [O, I] held as [I, O]. Its rows wait in a buffer of their own, and where they are rounded in two. */
async function loadTurned(
  scope: BufferScope,
  O: number,
  I: number,
  storage: Exclude<Storage, 'int4'>,
  chunks: AsyncIterable<RowChunk>,
): Promise<Matrix> {
  const { backend } = scope
  const matrix = makeMatrix(scope, storage, [I, O], 'anything')
  const values = valuesOf(matrix)
  const waiting = new BufferScope(backend)
  try {
    let asStored: Buffer | null = null // [O, I]
    for await (const chunk of chunks) {
      const dtype = chunk.values instanceof Uint16Array ? values.dtype : 'f32'
      asStored ??= waiting.allocate(dtype, [O, I], 'anything')
      backend.write(asStored, chunk.values, chunk.start)
    }
    if (asStored === null) return matrix
    const isAsHeld = asStored.dtype === values.dtype
    const turned = isAsHeld ? values : waiting.allocate('f32', [I, O], 'anything')
    backend.ops.transpose(turned, asStored)
    if (!isAsHeld) storeRows(backend, matrix, turned, 0)
    return matrix
  } finally {
    waiting.dispose()
  }
}

/** Overwrites what is held for a parameter by values as Hugging Face stores them. */
export function writeParameter(
  backend: Backend,
  held: Buffer,
  { isTurned }: ModelParameter,
  { values, shape }: HostTensor,
): void {
  if (!isTurned) return backend.write(held, values)
  const scope = new BufferScope(backend)
  try {
    backend.ops.transpose(held, scope.upload(values, shape))
  } finally {
    scope.dispose()
  }
}

/** A buffer of zeros for every parameter, in the shape it is held in, by Hugging Face name. */
export function zeroParameters(config: ModelConfig, scope: BufferScope): Map<string, Buffer> {
  const zeros = new Map<string, Buffer>()
  for (const [name, parameter] of modelParameters(config))
    zeros.set(name, scope.allocate('f32', heldShape(parameter)))
  return zeros
}

/** Reads what is held for every parameter into Hugging Face's layout. The buffers stay as they are. */
export function readParameters(
  config: ModelConfig,
  backend: Backend,
  held: ReadonlyMap<string, Buffer>,
): Map<string, HostTensor> {
  checkParameters(config, held)
  const tensors = new Map<string, HostTensor>()
  for (const [name, { shape, isTurned }] of modelParameters(config)) {
    const buffer = held.get(name) as Buffer
    const values = isTurned ? readTurned(backend, buffer, shape) : backend.readF32(buffer)
    tensors.set(name, { shape, values })
  }
  return tensors
}

function readTurned(backend: Backend, buffer: Buffer, shape: readonly number[]): Float32Array {
  const scope = new BufferScope(backend)
  try {
    const turned = scope.allocate('f32', shape)
    backend.ops.transpose(turned, buffer)
    return backend.readF32(turned)
  } finally {
    scope.dispose()
  }
}

/**
 * Checks that there is a buffer of the right shape for every parameter.
 * @throws UsageError PARAMETERS naming the first there is none for
 */
export function checkParameters(config: ModelConfig, held: ReadonlyMap<string, Buffer>): void {
  for (const [name, parameter] of modelParameters(config)) {
    const expected = heldShape(parameter).join(', ')
    const got = held.get(name)?.shape.join(', ')
    if (got !== expected)
      throw new UsageError(
        'PARAMETERS',
        `${name}: expected a buffer of [${expected}], got ${got === undefined ? 'none' : `[${got}]`}`,
      )
  }
}
