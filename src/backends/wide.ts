/**
 * The build for vectors of 32 bytes.
 *
 * V8 joins two neighbouring operations on 16 bytes into one on 32 where a processor has AVX2 and a flag, which V8 calls
 * experimental, is set while a function is compiled. kernels_wide.wasm has tiles for that, which need sixteen registers of 32
 * bytes and are slow without it. A trial compiles and judges it: one bit that differs from the other build, or no gain, and it is
 * not used. Nothing tries it unless a program allows that, because the flag is the process's for as long as the trial takes.
 */
import type { Backend } from './backend.ts'

/**
 * Tries a build beside the one that would be used without it.
 * @returns why it is not used; null if it is
 */
export type WideTrial = (plain: Backend, wide: Backend) => string | null

/** What became of the wide build in this process. */
export interface WideReport {
  readonly used: boolean
  /** Why it is not used; null if it is. */
  readonly reason: string | null
}

let trial: WideTrial | null = null
const NOT_ASKED = 'not asked for'
let report: WideReport = { used: false, reason: NOT_ASKED }

/** Lets backends that are started from now on use the wide build if `allowed` finds no fault with it; null: no longer. */
export function allowWide(allowed: WideTrial | null): void {
  trial = allowed
  report = { used: false, reason: allowed === null ? NOT_ASKED : 'no backend was started yet' }
}

/** Whether a wide build may be tried at all. */
export function mayTryWide(): boolean {
  return trial !== null
}

/** What trials found, by the wide build. */
const found = new WeakMap<WebAssembly.Module, string | null>()

/** Whether to use a wide build. @param start makes a backend of a build, for the trial; a build is tried once */
export function isWideUsed(
  plain: WebAssembly.Module,
  wide: WebAssembly.Module,
  start: (module: WebAssembly.Module) => Backend,
): boolean {
  let reason = found.get(wide)
  if (reason === undefined) found.set(wide, (reason = tried(start(plain), start(wide))))
  report = { used: reason === null, reason }
  return reason === null
}

function tried(plain: Backend, wide: Backend): string | null {
  try {
    return trial === null ? NOT_ASKED : trial(plain, wide)
  } finally {
    for (const backend of [plain, wide]) backend.dispose()
  }
}

/** What became of the wide build. */
export function wideReport(): WideReport {
  return report
}
