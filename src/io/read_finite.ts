/**
 * Reads a tensor whose shape is known beforehand, as finite numbers.
 */
import { InputError } from '../tensor/errors.ts'
import type { TensorSource } from '../tensor/tensor_source.ts'

/**
 * The values of one tensor as float32, row-major.
 * @param code the code of the error for a value that is not finite
 * @param file the name of the file in errors; empty if tensor names suffice
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE, the given code, and what `TensorSource.read` throws
 */
export async function readFinite(
  source: TensorSource,
  tensor: string,
  shape: readonly number[],
  code: string,
  file = '',
): Promise<Float32Array> {
  const refuse = (code: string, expected: string, got: string): InputError =>
    new InputError(code, `${`${file} ${tensor}`.trim()}: expected ${expected}, got ${got}`, { tensor })
  const found = source.tensors.get(tensor)
  const expected = `[${shape.join(', ')}]`
  if (!found) throw refuse('TENSOR_MISSING', expected, 'no such tensor')
  const got = `[${found.shape.join(', ')}]`
  if (got !== expected) throw refuse('TENSOR_SHAPE', expected, got)
  const values = await source.read(tensor)
  if (values.every(Number.isFinite)) return values
  throw refuse(code, 'finite numbers', 'NaN or an infinity')
}
