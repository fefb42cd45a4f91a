/**
 * Flags of V8's compiler in Node. They are the whole process's, so they are set for as long as some work takes.
 */
import { builtin, hostProcess } from './builtin.ts'

/**
 * The V8 (that of Node 24) with which the committed kernels were compiled under every flag that is set here. A fault of a compiler
 * may end the process, which no trial of compiled code prevents: V8 14.6 (Node 26) ends while it joins vectors of attention.
 */
const TESTED_V8 = '13.6.'

/** Whether V8 can join two operations on 16 bytes into one on 32: in Node on x64. The processor has to have AVX2 besides. */
export function canJoinVectors(): boolean {
  return (
    hostProcess !== null &&
    !('Deno' in globalThis) &&
    hostProcess.arch === 'x64' &&
    hostProcess.versions.v8.startsWith(TESTED_V8)
  )
}

/** Null: as the thread that started this one, and not in a thread that no other thread started. */
let isAllowed: boolean | null = null

/** Allows it in this thread and in those it starts from now on, or no longer. Not allowed at first. */
export function allowJoining(allowed: boolean): void {
  isAllowed = allowed
}

/** Whether vectors may be joined: it is allowed, and can be done here. */
export function mayJoinVectors(): boolean {
  return canJoinVectors() && (isAllowed ??= inherited())
}

/** What a thread is given by the one that starts it. */
export interface Inherited {
  readonly joinsVectors: boolean
}

function inherited(): boolean {
  const { workerData } = builtin('node:worker_threads')
  return (workerData as Partial<Inherited> | null)?.joinsVectors === true
}

/** Does work during which functions are compiled at their first call, with optimization, and with vectors joined or not. */
export function whileOptimizing<Result>(joinsVectors: boolean, work: () => Result): Result {
  const { setFlagsFromString: set } = builtin('node:v8')
  set('--no-liftoff')
  if (joinsVectors) set('--experimental-wasm-revectorize')
  try {
    return work()
  } finally {
    set('--liftoff')
    if (joinsVectors) set('--no-experimental-wasm-revectorize')
  }
}
