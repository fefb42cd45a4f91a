/**
 * What computes behind the wasm backend: a memory, and the kernels that work in it.
 */
import { MissingError } from '../../tensor/errors.ts'
import type { Kernel } from '../door.ts'
import { instantiate } from './instance.ts'

/** Bytes of a page of WebAssembly memory. */
export const PAGE = 65536
/** What 32-bit addresses reach: 4 GiB. */
export const MOST_PAGES = 65536
/** What one thread's scratch needs, and a little more. */
const FIRST_PAGES = 64

/** A memory and every op of the catalogue as a function of addresses in it. */
export interface Engine {
  readonly memory: WebAssembly.Memory
  /** By the names of the catalogue. */
  readonly kernels: Readonly<Record<string, Kernel<number>>>
  /** The first byte that buffers may have; what is below is scratch. */
  readonly heapBase: number
}

/** The kernels on the calling thread, over a memory of its own. @throws MissingError BACKEND_MEMORY if there is no room */
export function startAlone(module: WebAssembly.Module): Engine {
  const memory = makeMemory(FIRST_PAGES)
  const { kernels, scratchSize } = instantiate(module, memory, 0)
  return { memory, kernels, heapBase: scratchSize }
}

/** @throws MissingError BACKEND_MEMORY if there is no room */
function makeMemory(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: MOST_PAGES })
  } catch (cause) {
    const message = `backend wasm: expected room for ${PAGE * pages} bytes, got none`
    throw new MissingError('BACKEND_MEMORY', message, { cause })
  }
}
