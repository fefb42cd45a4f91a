/**
 * Pages of 2 MiB for large memories.
 *
 * Where Linux is set to `madvise`, as most distributions have it, memory has pages of 4 KiB unless its owner asks for larger ones.
 * V8 does not ask, and a processor that reads all weights for each token waits for the places of some hundred thousand pages. Only
 * a call of the system can ask, so this is for Node where the package koffi is.
 */
import { builtin, hostProcess } from './builtin.ts'
import { ForeignError, openLibrary, type ForeignFunctions } from './foreign.ts'

const SETTING = '/sys/kernel/mm/transparent_hugepage/enabled'

/** Of madvise(2). */
const MADV_HUGEPAGE = 14

const calls = { madvise: ['memory', 'u64', 'i32'] } as const

let opened: ForeignFunctions<typeof calls> | ForeignError | undefined

/** Asks for large pages of what a memory has not written yet. Nothing happens where none are to be had. */
export function askForHugePages(memory: ArrayBufferLike): void {
  if (settingOf() !== 'madvise') return
  const system = (opened ??= openSystem())
  if (!(system instanceof ForeignError))
    system.madvise(new Uint8Array(memory), memory.byteLength, MADV_HUGEPAGE)
}

/** Whether large memories have pages of 2 MiB here. */
export interface PageReport {
  readonly huge: boolean
  /** Why not, or null. */
  readonly reason: string | null
}

/** What `askForHugePages` can do in this process. */
export function hugePages(): PageReport {
  const setting = settingOf()
  if (setting === null) return { huge: false, reason: 'expected Node on Linux, got another system' }
  if (setting === 'never') return { huge: false, reason: `${SETTING}: expected madvise or always, got never` }
  const system = setting === 'madvise' ? (opened ??= openSystem()) : null
  return system instanceof ForeignError
    ? { huge: false, reason: system.message }
    : { huge: true, reason: null }
}

/** The word that holds of the system's setting; null where there is none. Deno would ask its user for the right to read it. */
function settingOf(): string | null {
  if (hostProcess?.platform !== 'linux' || 'Deno' in globalThis) return null
  try {
    const words = builtin('node:fs').readFileSync(SETTING, 'utf8')
    return /\[(\w+)\]/.exec(words)?.[1] ?? null
  } catch {
    return null
  }
}

function openSystem(): ForeignFunctions<typeof calls> | ForeignError {
  try {
    return openLibrary('libc.so.6', calls).functions
  } catch (error) {
    if (error instanceof ForeignError) return error
    throw error
  }
}
