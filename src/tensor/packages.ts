/**
 * Packages that few users need: they are not installed with this one, and are asked for by name where they are missing.
 */
import { MissingError } from './errors.ts'

/**
 * Throws what an import was refused for. A bundler takes an import with a `catch` as one of a package that may be missing; without
 * one it refuses the whole bundle.
 */
export function passOn(cause: unknown): never {
  throw cause
}

/**
 * Loads what needs such packages.
 * @param subject what needs them, as errors name it
 * @param names of the packages, as `npm install` takes them
 * @throws MissingError PACKAGE_MISSING; what `load` throws otherwise
 */
export async function withPackages<T>(subject: string, names: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw packagesMissing(subject, names, cause)
  }
}

/** The refusal of what needs packages that are not installed. */
export function packagesMissing(subject: string, names: string, cause?: unknown): MissingError {
  const noun = names.includes(' ') ? 'packages' : 'package'
  const message = `${subject}: expected the ${noun} ${names} ("npm install ${names}"), got none`
  return new MissingError('PACKAGE_MISSING', message, { cause })
}
