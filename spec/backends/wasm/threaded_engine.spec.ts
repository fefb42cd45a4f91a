/**
 * Threads that share calls for real: the bits are those of one thread, memory may grow under them, a thread that fails is
 * noticed, and where there cannot be threads that is said.
 *
 * Tests src/backends/wasm/engine.ts, src/backends/wasm/thread_pool.ts, src/backends/wasm/thread_worker.ts and
 * src/platform/workers.ts.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Backend } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { kernelFiles } from '../../../src/backends/kernel_files.ts'
import { startAlone } from '../../../src/backends/wasm/engine.ts'
import { WorkQueue, MAX_PARTS, type Job } from '../../../src/backends/wasm/work_queue.ts'
import { withSharedMemory } from '../../../src/backends/wasm/shared_import.ts'
import { allStarted } from '../../../src/backends/wasm/threaded_engine.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { runSeed } from '../../harness/seed.ts'
import { Bench } from './pool_bench.ts'

const binary = await kernelFiles.wasm()
const rust = new WebAssembly.Module(withSharedMemory(await kernelFiles['wasm-rust']()))

const ended: { dispose?(): void; end?(): void }[] = []
afterEach(() => {
  vi.unstubAllGlobals()
  for (const one of ended.splice(0)) (one.dispose ?? one.end)?.call(one)
})

/** A test that waits this long hangs; milliseconds. */
const HANG = 60_000

/** An owner that leaves the last part of each job to a helper, however late that one is scheduled, until the queue ends. */
class LeavesTheLast extends WorkQueue {
  #due = Infinity

  override open(parts: number): void {
    this.#due = performance.now() + HANG
    super.open(parts)
  }

  override take(word: number): number {
    if (this.isEnded || !this.isLeft(word & MAX_PARTS)) return super.take(word)
    if (performance.now() > this.#due) throw new Error('expected a helper to take a part, got none')
    return -1
  }

  protected isLeft(parts: number): boolean {
    return parts === 1
  }
}

/** The same, except for jobs of which a helper already has a part. */
class LeavesOne extends LeavesTheLast {
  /** Parts that the owner did not take. */
  #remaining = 0

  override open(parts: number): void {
    this.#remaining = parts
    super.open(parts)
  }

  override take(word: number): number {
    const left = super.take(word)
    if (left >= 0) this.#remaining--
    return left
  }

  protected override isLeft(parts: number): boolean {
    return parts === 1 && this.#remaining === parts
  }
}

/** A bench whose helpers end after the test. */
function makeBench(...args: ConstructorParameters<typeof Bench>): Bench {
  const bench = new Bench(...args)
  ended.push(bench.pool)
  return bench
}

test.each([
  ['AssemblyScript', undefined],
  ['Rust', rust],
])('parts that helpers compute have the bits of the whole, in %s', async (_, own) => {
  const bench = makeBench({ makeQueue: (memory) => new LeavesOne(memory), own })
  await bench.pool.ready
  expect(bench.pool.helpers).toBe(1)
  for (let i = 0; i < 100; i++) sameBits('product', bench.multiply(), bench.expected)
  expect(bench.pool.helped).toBeGreaterThanOrEqual(100)
})

test('a helper computes on memory beyond the end at its start', async () => {
  const bench = makeBench({ makeQueue: (memory) => new LeavesOne(memory) })
  await bench.pool.ready
  for (let i = 0; i < 20; i++) {
    bench.move()
    sameBits('product', bench.multiply(), bench.expected)
  }
  expect(bench.pool.helped).toBeGreaterThanOrEqual(20)
})

test('a mutant that does not wait for helpers: killed', async () => {
  class NoBarrier extends LeavesTheLast {
    override isSettled(): boolean {
      return true
    }
  }
  const bench = makeBench({ makeQueue: (memory) => new NoBarrier(memory) })
  await bench.pool.ready
  const isWrong = (): boolean => bench.multiply().some((value, i) => !Object.is(value, bench.expected[i]))
  // The helper has usually just begun the last part. If this thread was suspended meanwhile, it tries again.
  while (!isWrong()) await new Promise((resolve) => setImmediate(resolve))
})

test('before helpers start and after they end, the caller computes alone', async () => {
  const bench = makeBench()
  expect(bench.pool.helpers).toBe(0)
  await bench.pool.ready
  bench.pool.end()
  expect(bench.pool.helpers).toBe(0)
  sameBits('product', bench.multiply(), bench.expected)
})

describe('a helper that fails', () => {
  test('in a part ends the call with its code, and all helpers end', async () => {
    // It knows no kernel by the number that jobs have.
    const bench = makeBench({ setup: { kernels: [] }, makeQueue: (memory) => new LeavesOne(memory) })
    await bench.pool.ready
    expect(() => bench.multiply()).toThrow(
      expect.objectContaining({ code: 'BACKEND_THREAD', exitCode: 4 }) as Error,
    )
    expect(bench.pool.helpers).toBe(0)
    sameBits('product', bench.multiply(), bench.expected)
  })

  test('or a caller that fails: helpers end with the call', async () => {
    const bench = makeBench()
    await bench.pool.ready
    const job: Job = { kernel: 0, parts: 2, units: 2, grain: 1, call: [] }
    const fail = (): never => {
      throw new RangeError('no stack left')
    }
    // A helper may have done both parts before the caller gets to one: then once more.
    expect(() => {
      for (;;) bench.pool.run(job, fail)
    }).toThrow('no stack left')
    expect(bench.pool.helpers).toBe(0)
  })

  test('at its start leaves one thread', async () => {
    const bench = makeBench({ setup: { module: new WebAssembly.Module(binary) } })
    await bench.pool.ready
    expect(bench.pool.helpers).toBe(0)
    sameBits('product', bench.multiply(), bench.expected)
  })
})

async function create(...args: Parameters<typeof createBackend>): Promise<Backend> {
  const backend = await createBackend(...args)
  ended.push(backend)
  return backend
}

test('helpers use memory that grew between calls', async () => {
  const one = await create('wasm')
  const two = await WasmBackend.create({ threads: 2, sharing: 'always', cutsSmall: true })
  ended.push(two)
  const data = new Data(runSeed())
  const rows = data.someOf('rows', 64)
  const [x, weight] = [data.floats('x', 32), data.floats('weight', [64, 32])]
  const product = (backend: Backend): Float32Array => {
    const list = backend.upload(rows)
    // About a mebibyte at each round, far above what the memory begins with at the end.
    const y = backend.view(backend.allocate('f32', [2 ** 18]), [1, 64])
    backend.ops.linear(y, backend.upload(x, [1, 32]), backend.upload(weight, [64, 32]), null, list)
    return backend.readF32(y)
  }
  for (let round = 0; round < 60; round++) sameBits('product', product(two), product(one))
})

test('a sibling has its own memory and threads, and outlives the backend', async () => {
  const two = await WasmBackend.create({ threads: 2, sharing: 'always', cutsSmall: true })
  const sibling = two.sibling()
  ended.push(sibling)
  await vi.waitFor(() => expect(sibling.threads.threads).toBe(2), HANG)
  const data = new Data(runSeed())
  const [x, weight] = [data.floats('x', 32), data.floats('weight', [64, 32])]
  const product = (backend: Backend): Float32Array => {
    const y = backend.allocate('f32', [1, 64])
    backend.ops.linear(y, backend.upload(x, [1, 32]), backend.upload(weight, [64, 32]), null, null)
    return backend.readF32(y)
  }
  const held = sibling.upload(x)
  const expected = product(two)
  expect(sibling.readF32(held)).toEqual(x)
  two.dispose()
  sameBits('product', product(sibling), expected)
})

describe('the number of threads', () => {
  test('is one by default, else the requested number', async () => {
    expect((await create('wasm')).threads).toEqual({ threads: 1, calls: [] })
    expect((await create('wasm', { threads: 3, sharing: 'always' })).threads).toEqual({
      threads: 3,
      calls: [],
    })
    expect((await create('reference', { threads: 'auto' })).threads).toEqual({ threads: 1, calls: [] })
  })

  test.each([0, 1.5, 33, NaN, '2' as never])('%s is refused', async (threads) => {
    await expect(createBackend('wasm', { threads })).rejects.toMatchObject({ code: 'THREADS', exitCode: 2 })
  })

  test('is one for the reference', async () => {
    await expect(createBackend('reference', { threads: 2 })).rejects.toMatchObject({ code: 'THREADS' })
  })

  test('threads that do not start are an error where calls are always shared', async () => {
    const module = new WebAssembly.Module(binary)
    const end = vi.fn()
    const engine = { ...startAlone(module), end }
    await expect(allStarted(engine, 2)).rejects.toMatchObject({ code: 'BACKEND_THREAD', exitCode: 4 })
    expect(end).toHaveBeenCalledOnce()
  })

  test('without shared memory several threads are refused by name, and auto is one', async () => {
    vi.stubGlobal('SharedArrayBuffer', undefined)
    await expect(createBackend('wasm', { threads: 2 })).rejects.toMatchObject({
      code: 'THREADS_MISSING',
      exitCode: 4,
    })
    expect((await create('wasm', { threads: 'auto' })).threads.threads).toBe(1)
  })
})

test('measured calls are reported with kind, sharing and gain', async () => {
  const backend = await create('wasm', { threads: 2 })
  const [O, I] = [1024, 1024]
  const shapes = [
    [1, O],
    [1, I],
    [O, I],
  ]
  const [y, x, weight] = shapes.map((shape) => backend.allocate('f32', shape))
  const { linear, relu } = backend.ops
  await vi.waitFor(() => expect(backend.threads.threads).toBe(2), HANG)
  for (let i = 0; i < 20; i++) linear(y, x, weight, null, null)
  relu(y, y)
  const { calls } = backend.threads
  expect(calls).toHaveLength(1)
  expect(calls[0]).toMatchObject({ op: 'linear', work: O * I })
  expect(calls[0].gain).toBeGreaterThan(0)
})
