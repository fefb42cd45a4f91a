/**
 * How a system refuses what it is asked, and how a runtime does that runs programs with few permissions: Deno.
 */

import { builtin, hostProcess } from './builtin.ts'

/** Codes of the system (ENOSPC, EACCES); those of Node itself begin with ERR_. */
const systemCode = /^E(?!RR_)[A-Z0-9]+$/

/**
 * What the system said where an error is its refusal, such as `ENOSPC`, or what permission the runtime wants; null for any
 * other error.
 */
export function systemRefusal(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string') return systemCode.test(code) ? code : null
  return codeInWords(error.message) ?? missingPermission(error)
}

/** Deno has codes for the commonest errors alone; of the others it says the number. */
function codeInWords(message: string): string | null {
  const number = Number(/\(os error (\d+)\)/.exec(message)?.[1])
  if (hostProcess === null || Number.isNaN(number)) return null
  const codes = Object.entries(builtin('node:os').constants.errno)
  return codes.find(([, one]) => one === number)?.[0] ?? `error ${number}`
}

/** Which permission the runtime wants, in its words, where an error says that it was not given; null for any other error. */
export function missingPermission(error: unknown): string | null {
  return error instanceof Error && error.name === 'NotCapable' ? error.message : null
}
