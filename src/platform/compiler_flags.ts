/**
 * Flags of V8's compiler in Node. They are the whole process's, so they are set for as long as some work takes.
 */
import { builtin, hostProcess } from './builtin.ts'

/** The first release whose V8 has every flag that is set here: a name that it does not know is printed as an error. */
const FIRST_NODE = 24

/** Whether V8 can join two operations on 16 bytes into one on 32: in Node on x64. The processor has to have AVX2 besides. */
export function canJoinVectors(): boolean {
  return (
    hostProcess !== null &&
    !('Deno' in globalThis) &&
    hostProcess.arch === 'x64' &&
    Number.parseInt(hostProcess.versions.node, 10) >= FIRST_NODE
  )
}

/** Whether the user asks for that: SHADOWLLM_WIDE is on. Looked at in Node alone: Deno allows no look at the environment by itself. */
export function asksToJoinVectors(): boolean {
  return canJoinVectors() && hostProcess?.env.SHADOWLLM_WIDE === 'on'
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
