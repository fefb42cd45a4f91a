/**
 * The build for vectors of 32 bytes.
 *
 * V8 joins two neighbouring operations on 16 bytes into one on 32 where a processor has AVX2 and a flag, which V8 calls
 * experimental, is set while a function is compiled. kernels_wide.wasm has tiles for that, which need sixteen registers of 32
 * bytes and are slow without it. A trial compiles and judges it: one bit that differs from the other build, or no gain, and it is
 * not used. Nothing tries it unless a program allows that, because the flag is the process's for as long as the trial takes.
 */
import { environment } from '../../platform/platform.ts'

/**
 * Tries a build beside the one that would be used without it.
 * @returns why it is not used; null if it is
 */
export type WideTrial = (plain: WebAssembly.Module, wide: WebAssembly.Module) => string | null

/** What became of the wide build in this process. */
export interface WideReport {
  readonly used: boolean
  /** Why it is not used; null if it is. */
  readonly reason: string | null
}

let trial: WideTrial | null = null
let report: WideReport = { used: false, reason: 'not asked for' }

/** Lets backends that are started from now on use the wide build if `tried` finds no fault with it; null: no longer. */
export function allowWide(tried: WideTrial | null): void {
  trial = tried
  report = { used: false, reason: tried === null ? 'not asked for' : 'no backend was started yet' }
}

/** Whether a wide build may be tried at all. The environment variable SHADOWLLM_WIDE=off forbids it. */
export function mayTryWide(): boolean {
  if (trial === null) return false
  if (environment('SHADOWLLM_WIDE') !== 'off') return true
  report = { used: false, reason: 'SHADOWLLM_WIDE is off' }
  return false
}

/** What trials found, by the wide build. */
const found = new WeakMap<WebAssembly.Module, string | null>()

/** The build to use of two. A trial is made once. */
export function chooseWidth(plain: WebAssembly.Module, wide: WebAssembly.Module): WebAssembly.Module {
  let reason = found.get(wide)
  if (reason === undefined) found.set(wide, (reason = trial === null ? 'not asked for' : trial(plain, wide)))
  report = { used: reason === null, reason }
  return reason === null ? wide : plain
}

/** What became of the wide build. */
export function wideReport(): WideReport {
  return report
}
