/**
 * A bench for laws about helper threads.
 */
import { kernelFiles } from '../../../src/backends/kernel_files.ts'
import { makeMemory, PAGE } from '../../../src/backends/wasm/engine.ts'
import { instantiate } from '../../../src/backends/wasm/instance.ts'
import { withSharedMemory } from '../../../src/backends/wasm/shared_import.ts'
import { ThreadPool, type PoolSetup } from '../../../src/backends/wasm/thread_pool.ts'
import type { Job, WorkQueue } from '../../../src/backends/wasm/work_queue.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { runSeed } from '../../harness/seed.ts'

const module = new WebAssembly.Module(withSharedMemory(await kernelFiles.wasm()))

const [T, O, I] = [8, 640, 512]
const PARTS = 8

/** How a bench differs from one helper with right kernels. */
export interface BenchOptions {
  readonly helpers?: number
  /** The kernels of the caller, and of helpers unless `setup` has others. */
  readonly own?: WebAssembly.Module
  readonly setup?: Partial<PoolSetup>
  /** The queue of the caller. */
  readonly makeQueue?: (memory: SharedArrayBuffer) => WorkQueue
}

/** A product in the memory that a pool's threads share, and helpers for it. */
export class Bench {
  readonly pool: ThreadPool
  readonly #memory: WebAssembly.Memory
  readonly #kernels
  readonly #names: readonly string[]
  #place: number
  readonly expected: Float32Array

  constructor({ helpers = 1, own = module, setup, makeQueue }: BenchOptions = {}) {
    this.#memory = makeMemory(1 + helpers)
    this.#memory.grow(Math.ceil((4 * (T * O + T * I + O * I)) / PAGE))
    const { kernels, scratchSize } = instantiate(own, this.#memory, 0)
    this.#kernels = kernels
    this.#names = Object.keys(kernels)
    this.#place = (1 + helpers) * scratchSize
    const common = {
      module: own,
      wide: null,
      memory: this.#memory,
      scratchStarts: Array.from({ length: helpers }, (_, i) => (i + 1) * scratchSize),
      kernels: this.#names,
    }
    this.pool = new ThreadPool({ ...common, ...setup }, makeQueue)
    const data = new Data(runSeed())
    this.#numbers(T * O, T * I + O * I).set(data.floats('x and weight', T * I + O * I))
    kernels.linear(...this.#call)
    this.expected = this.#numbers(0, T * O).slice()
  }

  /** The product in parts. */
  get job(): Job {
    const kernel = this.#names.indexOf('linear_part')
    return { kernel, parts: PARTS, units: O, grain: 16, call: this.#call }
  }

  /** The product once more, in parts: what came of it. */
  multiply(): Float32Array {
    this.#numbers(0, T * O).fill(NaN)
    this.pool.run(this.job, this.#kernels.linear_part)
    return this.#numbers(0, T * O).slice()
  }

  /** Grows the memory and moves the numbers beyond its former end. */
  move(): void {
    const [from, length] = [this.#place, T * O + T * I + O * I]
    const end = this.#memory.buffer.byteLength
    this.#memory.grow(Math.ceil((4 * length) / PAGE))
    this.#place = end
    this.#numbers(0, length).set(new Float32Array(this.#memory.buffer, from, length))
  }

  get #call(): readonly (number | null)[] {
    const [y, x] = [this.#place, this.#place + 4 * T * O]
    return [y, x, x + 4 * T * I, null, null, T, O, I, 0]
  }

  #numbers(from: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, this.#place + 4 * from, length)
  }
}
