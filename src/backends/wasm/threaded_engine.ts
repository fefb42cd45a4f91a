/**
 * The kernels on several threads over one shared memory. A large call is cut into parts for all threads if that was measured
 * to be faster; its bits are those of one thread. The caller computes small calls, and ops that cannot be cut, alone.
 */
import { canShareMemory, machine, now } from '../../platform/platform.ts'
import type { KernelName } from '../../ops/catalog.ts'
import { MissingError } from '../../tensor/errors.ts'
import { expectOption } from '../../tensor/option.ts'
import { threadsOption, type CallReport, type ThreadReport } from '../backend.ts'
import type { KernelFunction } from '../calls.ts'
import { makeMemory, type Engine } from './engine.ts'
import { instantiateBoth, WIDE, type WideBuild } from './instance.ts'
import { splitOf, splitOps, type Call, type Split } from './split.ts'
import { ParallelTuner } from './parallel_tuner.ts'
import { ThreadPool } from './thread_pool.ts'

/** How kernels are shared. */
export interface Sharing {
  /** The number of threads, the caller's included: at least 2. */
  readonly threads: number
  readonly sharing: 'measured' | 'always'
  /** Whether to cut also calls that are too small to gain, so that laws can use small ones; default: no. */
  readonly cutsSmall?: boolean
  /** What may take the place of kernels. */
  readonly wide?: WideBuild | null
}

/** Parts of a call: several per thread, so that the others take over from a thread that is not scheduled. */
const PARTS_PER_THREAD = 4

/** The largest number of threads for `auto`: decoding is limited by memory bandwidth, which more threads do not raise. */
const MAX_AUTOMATIC = 4

/**
 * The number of threads that an option stands for.
 * @throws UsageError THREADS for no such number; MissingError THREADS_MISSING if there cannot be several here
 */
export function countThreads(threads: number | 'auto'): number {
  if (threads === 'auto') return canShareMemory() ? Math.min(machine().threads, MAX_AUTOMATIC) : 1
  expectOption('threads', threads, threadsOption)
  if (threads > 1 && !canShareMemory())
    throw new MissingError(
      'THREADS_MISSING',
      `threads: expected a runtime whose threads can share memory for ${threads} of them, got one where they cannot`,
    )
  return threads
}

/**
 * Starts helpers over a memory that they share with the caller. Until they have started the caller computes alone.
 * @param module kernels that import a shared memory (shared_import.ts)
 * @throws MissingError BACKEND_MEMORY if there is no room
 */
export function startThreaded(module: WebAssembly.Module, sharing: Sharing): Engine {
  const { threads, wide = null } = sharing
  const memory = makeMemory(threads)
  const builds = { module, wide: wide?.module ?? null }
  const { kernels: all, scratchSize } = instantiateBoth(builds.module, builds.wide, memory, 0)
  const kernels = wide?.choose(all) ?? all
  const scratchStarts = Array.from({ length: threads - 1 }, (_, i) => (i + 1) * scratchSize)
  const pool = new ThreadPool({ ...builds, memory, scratchStarts, kernels: Object.keys(all) })
  const shared = splitOps.map((op) => shareKernel(op, kernels, pool, sharing))
  return {
    memory,
    kernels: { ...kernels, ...Object.fromEntries(shared.map((one) => [one.op, one.run])) },
    heapBase: threads * scratchSize,
    get threads(): ThreadReport {
      return { threads: 1 + pool.helpers, calls: shared.flatMap((one) => one.report()) }
    },
    ready: pool.ready,
    end: () => void pool.end(),
  }
}

/** Waits for all threads. @throws MissingError BACKEND_THREAD if one does not start */
export async function allStarted(engine: Engine, threads: number): Promise<void> {
  await engine.ready
  const { threads: started } = engine.threads
  if (started === threads) return
  engine.end()
  throw new MissingError(
    'BACKEND_THREAD',
    `backend wasm: expected ${threads} threads, got ${started}: the others did not start`,
  )
}

/** Calls of one kernel and about one size. */
interface Kind {
  readonly work: number
  readonly tuner: ParallelTuner
}

/** One op whose calls may be shared. */
interface SharedKernel {
  readonly op: KernelName
  /** The op as a kernel. */
  readonly run: KernelFunction<number>
  /** The findings so far. */
  readonly report: () => CallReport[]
}

function shareKernel(
  op: KernelName,
  kernels: Readonly<Record<string, KernelFunction<number>>>,
  pool: ThreadPool,
  { threads, sharing, cutsSmall, wide = null }: Sharing,
): SharedKernel {
  const split = splitOf(op) as Split
  const whole = kernels[op]
  const [plainPart, widePart] = ['', WIDE].map((build) => {
    const name = build + split.kernel
    return { kernel: Object.keys(kernels).indexOf(name), run: kernels[name] }
  })
  /** By size class. */
  const kinds = new Map<number, Kind>()

  const share = (call: Call, parts: number): void => {
    const { kernel, run } = wide?.isUsed(op) ? widePart : plainPart
    pool.run({ kernel, parts, units: split.units(call), grain: split.grain, call }, run)
  }

  const measure = (call: Call, parts: number): void => {
    const work = split.work(call)
    const sizeClass = split.sizeClass(call)
    let kind = kinds.get(sizeClass)
    if (kind === undefined) kinds.set(sizeClass, (kind = { work, tuner: new ParallelTuner() }))
    const { tuner } = kind
    const isShared = tuner.choose()
    const start = now()
    if (isShared) share(call, parts)
    else whole(...call)
    tuner.record(isShared, now() - start, work)
  }

  const run: KernelFunction<number> = (...call) => {
    const most = cutsSmall ? split.allParts(call) : split.worthwhileParts(call)
    if (most < 2) return whole(...call)
    // A multiple of the threads, so that each computes as many if all are scheduled.
    const parts = Math.min(most < threads ? most : most - (most % threads), PARTS_PER_THREAD * threads)
    if (pool.helpers === 0) whole(...call)
    else if (sharing === 'always') share(call, parts)
    else measure(call, parts)
  }

  const report = (): CallReport[] =>
    [...kinds.values()].map(({ work, tuner }) => ({ op, work, ...tuner.finding }))
  return { op, run, report }
}
