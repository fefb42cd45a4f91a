/**
 * A TensorSource over tensors in memory, for models that are not read from a file (training, benchmarks, laws).
 */
import { InputError } from './errors.ts'
import { checkRows, rowsInParts, rowsOf, type TensorInfo, type TensorSource } from './tensor_source.ts'

/** A float32 tensor with its shape. */
export interface HostTensor {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/**
 * A source of these tensors. `read` and `readRows` return copies.
 * @throws InputError TENSOR_SHAPE if a tensor does not have as many numbers as its shape says
 */
export function memorySource(tensors: ReadonlyMap<string, HostTensor>): TensorSource {
  const infos = new Map<string, TensorInfo>()
  for (const [name, { shape, values }] of tensors) {
    const length = shape.reduce((product, size) => product * size, 1)
    if (length !== values.length)
      throw new InputError(
        'TENSOR_SHAPE',
        `${name}: expected ${length} numbers [${shape.join(', ')}], got ${values.length}`,
        { tensor: name },
      )
    infos.set(name, { name, dtype: 'F32', shape, byteLength: values.byteLength })
  }
  const find = (name: string): HostTensor => {
    const tensor = tensors.get(name)
    if (tensor) return tensor
    throw new InputError('TENSOR_MISSING', `${name}: expected a tensor of this name, got none`, {
      tensor: name,
    })
  }
  return {
    tensors: infos,
    async read(name) {
      return find(name).values.slice()
    },
    async readRows(name, first, count) {
      const { shape, values } = find(name)
      checkRows(infos.get(name) as TensorInfo, first, count)
      const { columns } = rowsOf(shape)
      return values.slice(first * columns, (first + count) * columns)
    },
    async *stream(name, partLength) {
      const { byteOffset, buffer, byteLength } = find(name).values
      yield* rowsInParts(infos.get(name) as TensorInfo, partLength, async function* (length) {
        for (let done = 0; done < byteLength; done += length)
          yield new Uint8Array(
            buffer.slice(byteOffset + done, byteOffset + Math.min(done + length, byteLength)),
          )
      })
    },
    async close() {},
  }
}
