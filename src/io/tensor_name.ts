/**
 * Checks untrusted names and shapes of tensors, for every format.
 */
import { elementSize } from '../tensor/dtypes.ts'
import type { SourceDtype } from '../tensor/tensor_source.ts'
import { quote, refusal } from './refusal.ts'

const MAX_NAME_LENGTH = 1024
/** The maximal number of dimensions. */
export const MAX_DIMENSIONS = 32

/**
 * Checks a name: one line of 1 to 1,024 characters; any text is allowed, `__proto__` too.
 * @throws InputError TENSOR_NAME
 */
export function checkTensorName(name: string, file: string): void {
  if (name.length >= 1 && name.length <= MAX_NAME_LENGTH && name.isWellFormed() && !/\p{Cc}/u.test(name))
    return
  const expected = `tensor names of 1 to ${MAX_NAME_LENGTH} characters, no control marks`
  throw refusal('TENSOR_NAME', file, expected, `${quote(name)} of ${name.length}`)
}

/**
 * The size of a tensor of this shape, in bytes. An overflow is an error even if another dimension is 0.
 * @param shape integers from 0 to 2^53 - 1, unchecked.
 * @param subject the name of the tensor in errors.
 * @throws InputError TENSOR_SHAPE for more than 32 dimensions, TENSOR_OVERFLOW past 2^53 - 1 bytes.
 */
export function byteLengthOf(dtype: SourceDtype, shape: readonly number[], subject: () => string): number {
  if (shape.length > MAX_DIMENSIONS) {
    throw refusal('TENSOR_SHAPE', subject(), `at most ${MAX_DIMENSIONS} dimensions`, `${shape.length}`)
  }
  let bytes = elementSize(dtype)
  for (const size of shape) {
    if (size !== 0) bytes *= size
    if (!Number.isSafeInteger(bytes)) {
      const got = `shape [${shape.join(', ')}]`
      throw refusal('TENSOR_OVERFLOW', subject(), 'a size of at most 2^53 - 1 bytes', got)
    }
  }
  return shape.includes(0) ? 0 : bytes
}
