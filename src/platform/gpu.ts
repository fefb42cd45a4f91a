/**
 * WebGPU: that of Deno and of browsers, and in Node the package `webgpu` (Dawn).
 */
import { hostProcess } from './builtin.ts'

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

async function loadDawn(): Promise<{ create(options: string[]): GPU }> {
  try {
    return await import('webgpu')
  } catch (cause) {
    throw new Error('the package webgpu is not installed ("npm install webgpu")', { cause })
  }
}
