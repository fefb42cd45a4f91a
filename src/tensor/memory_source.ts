/**
 * A TensorSource over tensors in memory, for models that are not read from a file (training, benchmarks, laws).
 */
import { InputError } from './errors.ts'
import { storedSource, type StoredTensor } from './stored_source.ts'
import { rowsOf, type TensorSource } from './tensor_source.ts'

/** A float32 tensor with its shape. */
export interface HostTensor {
  readonly shape: readonly number[]
  readonly values: Float32Array
}

/**
 * Arrays as a source that `LanguageModel.load` reads weights from, in place of a file. `read` and `readRows` return copies.
 * @param tensors by name
 * @throws InputError TENSOR_SHAPE if a tensor does not have as many numbers as its shape says
 */
export function memorySource(tensors: ReadonlyMap<string, HostTensor>): TensorSource {
  const stored = new Map([...tensors].map(([name, tensor]) => [name, storedTensor(name, tensor)]))
  return storedSource('tensors', stored, new Map(), async () => {})
}

function storedTensor(name: string, { shape, values }: HostTensor): StoredTensor {
  const length = shape.reduce((product, size) => product * size, 1)
  if (length !== values.length) {
    const message = `${name}: expected ${length} numbers [${shape.join(', ')}], got ${values.length}`
    throw new InputError('TENSOR_SHAPE', message, { tensor: name })
  }
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const rowLength = rowsOf(shape).columns * values.BYTES_PER_ELEMENT
  return {
    info: { name, dtype: 'F32', shape, byteLength: bytes.length },
    rows: async (first, count) => bytes.slice(first * rowLength, (first + count) * rowLength),
    async *parts(partLength) {
      for (let done = 0; done < bytes.length; done += partLength) yield bytes.slice(done, done + partLength)
    },
  }
}
