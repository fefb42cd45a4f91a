/**
 * WebGPU: that of Deno and of browsers, and in Node the package `webgpu` (Dawn).
 */
import { hostProcess } from './builtin.ts'
import { nextTurn } from './pause.ts'

/** Kept, because Dawn's objects do not outlive it. */
let found: GPU | null = null

/**
 * The runtime's WebGPU; null if it has none.
 * @throws Error in one line if the package `webgpu` cannot be loaded in Node
 */
export async function findGpu(): Promise<GPU | null> {
  const { navigator } = globalThis as { navigator?: { readonly gpu?: GPU } }
  if (navigator?.gpu !== undefined) return navigator.gpu
  if (hostProcess === null || 'Deno' in globalThis) return null
  found ??= (await loadDawn()).create([])
  return found
}

/** What a thread rests on, made when it first does: a page that is not isolated has no memory to share. */
let clock: Int32Array | null = null

/**
 * Waits for an answer of a GPU. Dawn asks its driver in every turn of the event loop, which keeps a core busy that a driver on the
 * processor computes on. So the thread rests between turns: for 1/32 of the time that has passed, and for 2 ms at most.
 */
export async function awaitGpu<Answer>(answer: Promise<Answer>): Promise<Answer> {
  if (found === null) return answer
  clock ??= new Int32Array(new SharedArrayBuffer(4))
  let isHere = false
  const see = (): void => void (isHere = true)
  answer.then(see, see)
  for (const start = performance.now(); ;) {
    await nextTurn()
    if (isHere) return answer
    Atomics.wait(clock, 0, 0, Math.min(2, (performance.now() - start) / 32))
  }
}

async function loadDawn(): Promise<{ create(options: string[]): GPU }> {
  try {
    return await import('webgpu')
  } catch (cause) {
    throw new Error('the package webgpu is not installed ("npm install webgpu")', { cause })
  }
}
