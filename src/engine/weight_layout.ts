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
import { UsageError } from '../tensor/errors.ts'
import type { HostTensor } from '../tensor/memory_source.ts'
import type { ModelConfig } from './config.ts'
import type { ModelParameter } from './plan.ts'
import { modelParameters } from './program.ts'
import { storageNamed, type Matrix, type Storage } from './storages/index.ts'
import type { RowChunk, StorageRecord } from './storages/storage.ts'

/** The shape a parameter is held in. */
function heldShape({ shape, isTurned }: ModelParameter): readonly number[] {
  return isTurned ? shape.toReversed() : shape
}

/**
 * The storage of a parameter in a model whose matrices are stored as `storage`: vectors and the position table, which are
 * few and read once, stay float32.
 */
export function storageOf({ shape, layer, isPositions }: ModelParameter, storage: Storage): StorageRecord {
  if (shape.length === 1 || isPositions) return storageNamed('f32')
  const record = storageNamed(storage)
  return (layer === null && record.outside) || record
}

/** Bytes a parameter takes in a storage. */
export function parameterBytes(parameter: ModelParameter, storage: StorageRecord): number {
  const [rows, columns = 1] = heldShape(parameter)
  return storage.bytes(rows, columns, parameter.isTurned ? 'inputs' : 'outputs')
}

/** Makes what a parameter is held in, from its rows as Hugging Face stores them, a chunk at a time. */
export async function loadParameter(
  scope: BufferScope,
  { shape, isTurned }: ModelParameter,
  storage: StorageRecord,
  chunks: AsyncIterable<RowChunk>,
): Promise<Matrix> {
  const builder = storage.builder(scope, shape, isTurned)
  for await (const chunk of chunks) builder.add(chunk)
  return builder.build()
}

/** Overwrites what is held for a parameter by values in the layout of Hugging Face. */
export function writeParameter(
  backend: Backend,
  held: Buffer,
  { isTurned }: ModelParameter,
  { values, shape }: HostTensor,
): void {
  if (!isTurned) return backend.write(held, values)
  BufferScope.within(backend, (scope) => backend.ops.transpose(held, scope.upload(values, shape)))
}

/**
 * Parameters as a checkpoint has them, from what is held: norms without their offset. One that was far from it comes back within a
 * rounding.
 */
export function withoutOffsets(
  config: ModelConfig,
  tensors: ReadonlyMap<string, HostTensor>,
): Map<string, HostTensor> {
  const parameters = modelParameters(config)
  return new Map(
    [...tensors].map(([name, { shape, values }]) => {
      const { offset = 0 } = parameters.get(name) as ModelParameter
      return [name, { shape, values: offset === 0 ? values : values.map((value) => value - offset) }]
    }),
  )
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
  return BufferScope.within(backend, (scope) => {
    const turned = scope.allocate('f32', shape)
    backend.ops.transpose(turned, buffer)
    return backend.readF32(turned)
  })
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
