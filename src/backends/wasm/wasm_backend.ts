/**
 * The WebAssembly backends: every op as a SIMD kernel. `wasm` is the strict build of assembly/, equal to the reference bit
 * for bit; `wasm-relaxed` is the same kernels with multiply-adds that hardware may fuse, which is faster where it does;
 * `wasm-rust` is rust/, with the bits of `wasm` from another compiler.
 *
 * Where a runtime has relaxed SIMD, `wasm` is compiled with one instruction of it, the product of bytes, which is exact for
 * the operands that kernels give it: the bits are the same.
 *
 * One memory holds all buffers, and a buffer is an address in it. Only the backend and its own threads have access to it.
 * The memory grows on demand up to the 4 GiB that 32-bit addresses reach; growing detaches every view, so views are made
 * when needed and never kept.
 */
import { MissingError } from '../../tensor/errors.ts'
import { askForHugePages } from '../../platform/huge_pages.ts'
import { mayJoinVectors } from '../../platform/platform.ts'
import { probeWasm } from '../../platform/wasm_features.ts'
import { arrayTypes, type Dtype, type Numbers } from '../../ops/op.ts'
import type { Backend, BackendOptions, ThreadReport } from '../backend.ts'
import { CheckedBackend } from '../checked_backend.ts'
import type { OwnedBuffer } from '../owned_buffer.ts'
import { Allocator } from '../allocator.ts'
import { kernelFiles, type WasmModuleName, type WasmName } from '../kernel_files.ts'
import { MAX_PAGES, PAGE, startAlone, type Engine } from './engine.ts'
import { withSharedMemory } from './shared_import.ts'
import { allStarted, countThreads, startThreaded, type Sharing } from './threaded_engine.ts'
import { WideTrial } from './wide_trial.ts'
import { remembered } from '../../tensor/records.ts'

/** A memory grows by at least 64 MiB: each growth causes a garbage collection, and pages that are never written cost nothing. */
const STEP = 1024 // pages

/** What is in use of a memory when it asks for large pages, in bytes: reading less does not wait for pages. */
const LARGE = 16 << 20

/** What a runtime must have for each of the committed modules. */
const builds = {
  wasm: { feature: 'simd', called: 'SIMD' },
  'wasm-relaxed': { feature: 'relaxedSimd', called: 'relaxed SIMD' },
  'wasm-rust': { feature: 'simd', called: 'SIMD' },
} as const

const compiled = new Map<string, Promise<WebAssembly.Module>>()

/** A committed module over a plain memory or a shared one, fetched and compiled once. */
function loadModule(name: WasmModuleName, isShared: boolean): Promise<WebAssembly.Module> {
  return remembered(compiled, `${name} ${isShared}`, () =>
    kernelFiles[name]().then((bytes) =>
      WebAssembly.compile((isShared ? withSharedMemory(bytes) : bytes) as BufferSource),
    ),
  )
}

const trials = new Map<boolean, Promise<WideTrial>>()

/** The wide build and its trial, of which a process has one over either kind of memory; null where it may not be used. */
export function loadWide(isShared: boolean): Promise<WideTrial> | null {
  if (!mayJoinVectors() || !probeWasm().relaxedSimd) return null
  return remembered(trials, isShared, () => startTrial(isShared))
}

async function startTrial(isShared: boolean): Promise<WideTrial> {
  const [plain, wide] = await Promise.all([
    loadModule('wasm-bytes', isShared),
    loadModule('wasm-wide', isShared),
  ])
  return new WideTrial(plain, wide, isShared)
}

/** Which build, and what laws may set besides. */
interface WasmOptions extends BackendOptions, Pick<Sharing, 'cutsSmall'> {
  /** Which kernels; default `wasm`. */
  readonly build?: WasmName
  /** Whether `wasm` may use the relaxed product of bytes where it is; default: yes. */
  readonly relaxedBytes?: boolean
}

/** Runs every op as its WebAssembly kernel. */
export class WasmBackend extends CheckedBackend<number> {
  readonly name: WasmName
  readonly #module: WebAssembly.Module
  readonly #start: (module: WebAssembly.Module) => Engine
  readonly #allocator: Allocator
  /** Holds the memory; null once the backend is disposed. */
  #engine: Engine | null
  /** What of the memory has asked for large pages. */
  #asked: ArrayBufferLike | null = null

  /**
   * Starts a backend with a memory of its own.
   * @throws MissingError BACKEND_MISSING if this runtime has no WebAssembly SIMD or not the relaxed one, THREADS_MISSING if
   *   threads cannot share memory here, BACKEND_MEMORY if there is no room, BACKEND_THREAD if threads that always share do not
   *   start; UsageError THREADS
   */
  static async create({
    threads = 1,
    sharing = 'measured',
    cutsSmall,
    build: name = 'wasm',
    relaxedBytes = true,
  }: WasmOptions = {}): Promise<WasmBackend> {
    const { feature, called } = builds[name]
    const has = probeWasm()
    if (!has[feature])
      throw new MissingError(
        'BACKEND_MISSING',
        `backend ${name}: expected a runtime with WebAssembly ${called}, got one without`,
      )
    const count = countThreads(threads)
    const isBytes = name === 'wasm' && relaxedBytes && has.relaxedSimd
    const module = await loadModule(isBytes ? 'wasm-bytes' : name, count > 1)
    const wide = isBytes ? await loadWide(count > 1) : null
    const start = (given: WebAssembly.Module): Engine =>
      count === 1
        ? startAlone(given, wide)
        : startThreaded(given, { threads: count, sharing, cutsSmall, wide })
    const backend = new WasmBackend(module, start, name)
    if (count === 1) return backend
    if (sharing === 'always') await allStarted(backend.#live(), count)
    return backend
  }

  /** @param start makes an engine of the module */
  constructor(
    module: WebAssembly.Module,
    start: (module: WebAssembly.Module) => Engine = startAlone,
    name: WasmName = 'wasm',
  ) {
    const engine = start(module)
    // WebAssembly takes null for 0, the null address.
    super((op) => engine.kernels[op])
    this.name = name
    this.#module = module
    this.#start = start
    this.#engine = engine
    this.#allocator = new Allocator(engine.heapBase, (end) => this.#reach(end))
  }

  override get threads(): ThreadReport {
    return this.#live().threads
  }

  sibling(): Backend {
    this.expectLive()
    return new WasmBackend(this.#module, this.#start, this.name)
  }

  protected reserve(dtype: Dtype, length: number): number {
    const bytes = arrayTypes[dtype].BYTES_PER_ELEMENT * length
    const address = this.#allocator.allocate(bytes)
    if (address === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend ${this.name}: expected room for ${bytes} more bytes, got ${this.#allocator.liveBytes} in use of ${PAGE * MAX_PAGES}`,
      )
    return address
  }

  protected release({ address }: OwnedBuffer<number>): void {
    this.#allocator.free(address)
  }

  protected addressIn({ dtype, address }: OwnedBuffer<number>, start: number): number {
    return address + arrayTypes[dtype].BYTES_PER_ELEMENT * start
  }

  protected clear(buffer: OwnedBuffer<number>): void {
    this.#numbers(buffer).fill(0)
  }

  protected copyIn(buffer: OwnedBuffer<number>, values: Numbers, start: number): void {
    this.#numbers(buffer).set(values, start)
  }

  protected copyOut(buffer: OwnedBuffer<number>): Numbers {
    return this.#numbers(buffer).slice()
  }

  protected shutDown(): void {
    this.#engine?.end()
    this.#engine = null
    this.#allocator.freeAll()
  }

  #live(): Engine {
    this.expectLive()
    return this.#engine as Engine
  }

  /** Grows the memory until it reaches `end`; false if it cannot. */
  #reach(end: number): boolean {
    const { memory } = this.#live()
    const pages = memory.buffer.byteLength / PAGE
    const missing = Math.ceil(end / PAGE) - pages
    if (missing > 0) {
      const step = Math.max(missing, Math.min(STEP, MAX_PAGES - pages))
      if (!grow(memory, step) && !(step > missing && grow(memory, missing))) return false
    }
    const { buffer } = memory
    if (end > LARGE && buffer !== this.#asked) askForHugePages((this.#asked = buffer))
    return true
  }

  #numbers({ dtype, address, length }: OwnedBuffer<number>): Numbers {
    return new arrayTypes[dtype](this.#live().memory.buffer as ArrayBuffer, address, length)
  }
}

/** Grows a memory; false if there is no room. */
function grow(memory: WebAssembly.Memory, pages: number): boolean {
  try {
    memory.grow(pages)
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}
