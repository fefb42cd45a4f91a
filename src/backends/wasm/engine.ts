/**
 * The engine of the wasm backends: a memory, and the kernels over it.
 */
import { MissingError } from '../../tensor/errors.ts'
import type { ThreadReport } from '../backend.ts'
import type { KernelFunction } from '../calls.ts'
import { instantiateBoth, type WideBuild } from './instance.ts'

/** Bytes of a page of WebAssembly memory. */
export const PAGE = 65536
/** What 32-bit addresses reach: 4 GiB. */
export const MAX_PAGES = 65536
/** Room for the scratch of a thread. */
const FIRST_PAGES = 80

/** A memory and every op of the catalogue as a function of addresses in it. */
export interface Engine {
  readonly memory: WebAssembly.Memory
  /** By the names of the catalogue. */
  readonly kernels: Readonly<Record<string, KernelFunction<number>>>
  /** The first byte of buffers; the bytes below are scratch. */
  readonly heapBase: number
  readonly threads: ThreadReport
  /** Resolves when all its threads have started, or failed to start. It computes before that. */
  readonly ready: Promise<void>
  /** Ends its threads. */
  end(): void
}

/**
 * The kernels on the calling thread, over a memory of its own.
 * @param wide what may take the place of kernels
 * @throws MissingError BACKEND_MEMORY if there is no room
 */
export function startAlone(module: WebAssembly.Module, wide: WideBuild | null = null): Engine {
  const memory = takeIdle() ?? makeMemory(1)
  let isLive = true
  const { kernels, scratchSize } = instantiateBoth(module, wide?.module ?? null, memory, 0)
  return {
    memory,
    kernels: wide?.choose(kernels) ?? kernels,
    heapBase: scratchSize,
    threads: { threads: 1, calls: [] },
    ready: Promise.resolve(),
    end() {
      if (isLive) keepIdle(memory)
      isLive = false
    },
  }
}

/**
 * Memories of engines that have ended, for the next ones: a JavaScript engine may collect all garbage whenever a memory is made
 * or grows, and where much is alive that takes longer than a small model computes.
 */
const idle: WebAssembly.Memory[] = []

/** How many memories wait for the next engine, and how large each may be. A process that makes many backends may raise both. */
export const idleMemories = { most: 2, pages: 512 }

/** An idle memory, whose scratch is zero as in a new one; buffers are uninitialised until they are cleared. */
function takeIdle(): WebAssembly.Memory | undefined {
  const memory = idle.pop()
  if (memory !== undefined) new Uint8Array(memory.buffer, 0, PAGE * FIRST_PAGES).fill(0)
  return memory
}

function keepIdle(memory: WebAssembly.Memory): void {
  if (idle.length < idleMemories.most && memory.buffer.byteLength <= PAGE * idleMemories.pages)
    idle.push(memory)
}

/**
 * A memory with room for the scratch of this many threads, shared if there are several.
 * @throws MissingError BACKEND_MEMORY if there is no room
 */
export function makeMemory(threads: number): WebAssembly.Memory {
  const initial = FIRST_PAGES * threads
  try {
    return new WebAssembly.Memory({ initial, maximum: MAX_PAGES, shared: threads > 1 })
  } catch (cause) {
    const message = `backend wasm: expected room for ${PAGE * initial} bytes, got none`
    throw new MissingError('BACKEND_MEMORY', message, { cause })
  }
}
