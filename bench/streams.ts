/**
 * The yardstick of kernels that wait for memory: how fast this machine reads, found by loops that do nothing else
 * (assembly/bench/read_stream.ts), on one thread, in WebAssembly as the kernels are.
 */
import asc from 'assemblyscript/asc'
import { readFile } from '../src/platform/platform.ts'
import type { Job } from './timing.ts'

/** Memory to read: several times the largest cache. */
export const STREAM_BYTES: number = 240 * 2 ** 20

/** GB/s from bytes per millisecond. */
export const GIGABYTES: number = 1e-6

/** Where it begins; below is room for what kernels need besides. */
export const STREAM_START: number = 4 * 2 ** 20

const SOURCE = 'assembly/bench/read_stream.ts'

async function compile(): Promise<WebAssembly.Module> {
  const options = [
    '--runtime',
    'stub',
    '--importMemory',
    '--enable',
    'simd',
    '--optimizeLevel',
    '3',
    '--noAssert',
  ]
  let binary: Uint8Array | null = null
  const { error, stderr } = await asc.main([SOURCE, ...options, '--outFile', 'read_stream.wasm'], {
    // The compiler asks for libraries and for asconfig.json too, which is about the kernels.
    readFile: async (name) =>
      name === SOURCE
        ? new TextDecoder().decode(await readFile(new URL(`../${SOURCE}`, import.meta.url)))
        : null,
    writeFile: (_, contents) => void (binary = contents as Uint8Array),
    listFiles: () => [],
  })
  if (error || binary === null) throw new Error(stderr.toString(), { cause: error })
  return new WebAssembly.Module(binary as BufferSource)
}

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
  const { exports } = new WebAssembly.Instance(await compile(), { env: { memory } })
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
