/**
 * The yardstick of kernels that wait for memory: how fast this machine reads, found by loops that do nothing else
 * (assembly/bench/read_stream.ts), on one thread, in WebAssembly as the kernels are.
 */
import { instantiate, type Instance } from '../src/backends/wasm/instance.ts'
import { readFile } from '../src/platform/platform.ts'
import { compileLoops } from './compile.ts'
import type { Job } from './timing.ts'

/** Memory to read: several times the largest cache. */
export const STREAM_BYTES: number = 240 * 2 ** 20

/** GB/s from bytes per millisecond. */
export const GIGABYTES: number = 1e-6

/** Where it begins; below is room for what kernels need besides. */
export const STREAM_START: number = 4 * 2 ** 20

/** Memory to read, and the three ways to go through it; the work of each is the bytes that cross the bus. */
export interface Streams {
  readonly memory: WebAssembly.Memory
  readonly forward: Job
  readonly five: Job
  readonly copy: Job
}

/** Makes STREAM_BYTES of numbers at STREAM_START, and the loops over them. */
export async function openStreams(): Promise<Streams> {
  const memory = new WebAssembly.Memory({ initial: (STREAM_START + STREAM_BYTES) / 65536, maximum: 65536 })
  // Untouched pages would all be the same page of zeros.
  new Float32Array(memory.buffer).fill(0.5)
  const module = new WebAssembly.Module((await compileLoops('read_stream')) as BufferSource)
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  const job = (name: string, kernel: string): Job => {
    const loop = exports[kernel] as (from: number, size: number) => void
    return { name, work: STREAM_BYTES, run: () => loop(STREAM_START, STREAM_BYTES) }
  }
  return {
    memory,
    forward: job('read forward', 'readForward'),
    five: job('read five streams', 'readFiveStreams'),
    copy: job('copy (read + write)', 'copyHalf'),
  }
}

/** The committed kernels over a memory of a bench, so that they read the very pages the yardstick reads. */
export async function kernelsOver(memory: WebAssembly.Memory): Promise<Instance> {
  const binary = await readFile(new URL('../src/backends/wasm/kernels.wasm', import.meta.url))
  return instantiate(new WebAssembly.Module(binary as BufferSource), memory, 0)
}
