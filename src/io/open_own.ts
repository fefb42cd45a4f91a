/**
 * Opens the safetensors files that this package writes for one purpose: predictors, sessions and masks.
 */
import { ShadowError } from '../tensor/errors.ts'
import type { RawTensorSource } from '../tensor/tensor_source.ts'
import { refusal } from './refusal.ts'
import { openSafetensors } from './safetensors.ts'

/**
 * Opens a file. One that is none, or is not of that purpose, is refused in its words.
 * @param code of that refusal
 * @param what the file should be
 * @param isOwn whether a safetensors file is of that purpose
 * @throws InputError with that code; as `openSafetensors` for a damaged file
 */
export async function openOwnFile(
  path: string,
  code: string,
  what: string,
  isOwn: (source: RawTensorSource) => boolean,
): Promise<RawTensorSource> {
  const source = await openSafetensors(path).catch((error: unknown) => {
    // Other files begin otherwise.
    const isOther =
      error instanceof ShadowError && ['SAFETENSORS_SHORT', 'SAFETENSORS_HEADER_LIMIT'].includes(error.code)
    if (!isOther) throw error
    throw refusal(code, path, what, /\.gguf$/i.test(path) ? 'a GGUF file' : 'another file')
  })
  if (isOwn(source)) return source
  await source.close()
  throw refusal(code, path, what, 'another safetensors file')
}
