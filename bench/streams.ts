/**
 * The yardstick of kernels that wait for memory: how fast this machine reads, found by loops that do nothing else
 * (assembly/bench/read_stream.ts), on one thread, in WebAssembly as the kernels are.
 */
import asc from 'assemblyscript/asc'
import type { Job } from './timing.ts'

/** Memory to read: several times the largest cache. */
export const STREAM_BYTES: number = 256 * 2 ** 20

/** GB/s from bytes per millisecond. */
export const GIGABYTES: number = 1e-6

const START = 65536

async function compile(): Promise<WebAssembly.Module> {
  const source = 'assembly/bench/read_stream.ts'
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
  const output = '--outFile'
  let binary: Uint8Array | null = null
  const { error, stderr } = await asc.main([source, ...options, output, 'read_stream.wasm'], {
    writeFile: (_, contents) => void (binary = contents as Uint8Array),
  })
  if (error || binary === null) throw new Error(stderr.toString(), { cause: error })
  return new WebAssembly.Module(binary as BufferSource)
}

/** The three ways to go through STREAM_BYTES; the work of each is the bytes that cross the bus. */
export async function streamJobs(): Promise<{ forward: Job; four: Job; copy: Job }> {
  const memory = new WebAssembly.Memory({ initial: (START + STREAM_BYTES) / 65536, maximum: 65536 })
  // Untouched pages would all be the same page of zeros.
  new Float32Array(memory.buffer).fill(0.5)
  const { exports } = new WebAssembly.Instance(await compile(), { env: { memory } })
  const job = (name: string, kernel: string): Job => {
    const loop = exports[kernel] as (from: number, size: number) => void
    return { name, work: STREAM_BYTES, run: () => loop(START, STREAM_BYTES) }
  }
  return {
    forward: job('read forward', 'readForward'),
    four: job('read four streams', 'readFourStreams'),
    copy: job('copy (read + write)', 'copyHalf'),
  }
}
