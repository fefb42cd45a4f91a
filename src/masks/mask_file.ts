/**
 * A mask as a file: safetensors with head_mask [L, H] and ffn_mask [L, F], as `shadowllm masks --output` writes it.
 */
import { readFinite } from '../io/read_finite.ts'
import { openOwnFile } from '../io/open_own.ts'
import { makeMask, type UnitMask, type UnitShape } from './mask.ts'
import { closing } from '../tensor/tensor_source.ts'

/**
 * Reads a mask that `shadowllm masks --output` wrote, for a planner that answers with it.
 * @param path of a safetensors file with `head_mask` [L, H] and `ffn_mask` [L, F]
 * @throws InputError MASK_FORMAT for a file that is no mask, TENSOR_MISSING, TENSOR_SHAPE if it is not one of this shape, MASK_VALUE for a value that is not
 *   finite; SAFETENSORS_*, FILE_* and others of `openSafetensors`
 * @example
 * ```ts no-run
 * import { collectText, ShadowModel } from 'shadowllm'
 * import { readMask } from 'shadowllm/masks'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const mask = await readMask('mask.safetensors', opt.model.shape)
 * const planner = { name: 'file', by: 'attention', prefill: 'dense', choose: () => mask } as const
 * console.log((await collectText(opt.generate('Once upon a time', { planner }))).text)
 * await opt.dispose()
 * ```
 */
export async function readMask(path: string, shape: UnitShape): Promise<UnitMask> {
  const opened = openOwnFile(
    path,
    'MASK_FORMAT',
    'a mask, as "shadowllm masks --output" writes it',
    ({ tensors }) => tensors.has('head_mask'),
  )
  return closing(opened, async (source) => {
    const read = (name: string, units: number): Promise<Float32Array> =>
      readFinite(source, name, [shape.layers, units], 'MASK_VALUE', path)
    return makeMask(shape, await read('head_mask', shape.heads), await read('ffn_mask', shape.neurons))
  })
}
