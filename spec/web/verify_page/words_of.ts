import { ShadowError } from '../../../src/tensor/errors.ts'

/** An error with its code: the names of classes are not kept where code is packed. */
export function wordsOf(error: unknown): string {
  return error instanceof ShadowError ? `${error.message} [${error.code}]` : String(error)
}
