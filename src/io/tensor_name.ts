/**
 * Names and shapes of tensors as files give them: judged once, the same way for every format.
 */
import { elementSize } from '../tensor/dtypes.ts'
import type { SourceDtype } from '../tensor/tensor_source.ts'
import { quote, refusal } from './refusal.ts'

const MAX_NAME_LENGTH = 1024
/** Dimensions of a tensor. */
export const MAX_DIMENSIONS = 32

/**
 * Any name is a name, `__proto__` too, if it is one line of 1 to 1,024 characters.
 * @throws InputError TENSOR_NAME
 */
export function checkTensorName(name: string, file: string): void {
  if (name.length >= 1 && name.length <= MAX_NAME_LENGTH && name.isWellFormed() && !/\p{Cc}/u.test(name))
    return
  const got = `${quote(name)} of ${name.length}`
  throw refusal(
    'TENSOR_NAME',
    file,
    `tensor names of 1 to ${MAX_NAME_LENGTH} characters, no control marks`,
    got,
  )
}

/**
 * Bytes that a tensor of this shape takes. An overflow is one even where another dimension is 0.
 * @param shape integers from 0 to 2^53 - 1, not checked again.
 * @param subject what errors call the tensor.
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
      throw refusal(
        'TENSOR_OVERFLOW',
        subject(),
        'a size of at most 2^53 - 1 bytes',
        `shape [${shape.join(', ')}]`,
      )
    }
  }
  return shape.includes(0) ? 0 : bytes
}
