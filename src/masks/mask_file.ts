/**
 * A mask as a file: safetensors with head_mask [L, H] and ffn_mask [L, F], as `shadowllm masks --output` writes it.
 */
import { openSafetensors } from '../io/safetensors.ts'
import { InputError } from '../tensor/errors.ts'
import { makeMask, type UnitMask, type UnitShape } from './mask.ts'

/**
 * Reads a mask.
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE if it is not one of this shape, MASK_VALUE for a value that is not
 *   finite; SAFETENSORS_*, FILE_* and others of `openSafetensors`
 */
export async function readMask(path: string, shape: UnitShape): Promise<UnitMask> {
  const source = await openSafetensors(path)
  try {
    const read = async (name: string, units: number): Promise<Float32Array> => {
      const expected = `${path} ${name}: expected [${shape.layers}, ${units}]`
      const found = source.tensors.get(name)
      if (!found) throw new InputError('TENSOR_MISSING', `${expected}, got no such tensor`, { tensor: name })
      if (found.shape.join() !== `${shape.layers},${units}`)
        throw new InputError('TENSOR_SHAPE', `${expected}, got [${found.shape.join(', ')}]`, { tensor: name })
      const values = await source.read(name)
      if (values.every(Number.isFinite)) return values
      throw new InputError('MASK_VALUE', `${path} ${name}: expected finite numbers, got NaN or an infinity`, {
        tensor: name,
      })
    }
    return makeMask(shape, await read('head_mask', shape.heads), await read('ffn_mask', shape.neurons))
  } finally {
    await source.close()
  }
}
