/**
 * Recognises errors of the system, and missing permissions of Deno.
 */

import { builtin, hostProcess } from './builtin.ts'

/** Codes of the system (ENOSPC, EACCES); those of Node itself begin with ERR_. */
const systemCode = /^E(?!RR_)[A-Z0-9]+$/

/**
 * The code of an error of the system, such as `ENOSPC`, or the permission that the runtime requires; null for other errors.
 */
export function systemRefusal(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string') return systemCode.test(code) ? code : null
  return codeInWords(error.message) ?? missingPermission(error)
}

/** What refusals of the system mean. */
const meanings: Readonly<Record<string, string>> = {
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'a disk that can only be read',
  ENAMETOOLONG: 'a name that is too long',
  ELOOP: 'links that lead in a circle',
}

/** What the code of an error of the system means, in words; the code itself if that is not known. */
export function refusalWords(code: string): string {
  return meanings[code] ?? code
}

/** Deno has codes for common errors only; for others it gives the number. */
function codeInWords(message: string): string | null {
  const number = Number(/\(os error (\d+)\)/.exec(message)?.[1])
  if (hostProcess === null || Number.isNaN(number)) return null
  const codes = Object.entries(builtin('node:os').constants.errno)
  return codes.find(([, one]) => one === number)?.[0] ?? `error ${number}`
}

/** The permission that an error of Deno says is missing; null for other errors. */
export function missingPermission(error: unknown): string | null {
  return error instanceof Error && error.name === 'NotCapable' ? error.message : null
}
