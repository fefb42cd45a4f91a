/**
 * The WebAssembly backends: every op as a SIMD kernel. `wasm` is the strict build of assembly/, equal to the reference bit
 * for bit; `wasm-relaxed` is the same kernels with multiply-adds that hardware may fuse, which is faster where it does;
 * `wasm-rust` is rust/, with the bits of `wasm` from another compiler.
 *
 * One memory holds all buffers, and a buffer is an address in it; nobody else sees it but threads of the backend's own.
 * The memory grows on demand up to the 4 GiB that 32-bit addresses reach; growing detaches every view, so views are made
 * when needed and never kept.
 */
import { MissingError } from '../../tensor/errors.ts'
import { probeWasm } from '../../platform/wasm_features.ts'
import { arrayTypes, type Dtype, type Numbers } from '../../ops/op.ts'
import type { Backend, BackendOptions, Buffer, Ops, ThreadReport } from '../backend.ts'
import {
  boundsOf,
  checkFreeable,
  checkKind,
  checkLength,
  checkRange,
  checkWritable,
  disposedError,
  kindOf,
  openDoor,
  placed,
  PlacedBuffer,
} from '../checked_ops.ts'
import { Allocator } from './allocator.ts'
import { binaries, type WasmName } from './binaries.ts'
import { MOST_PAGES, PAGE, startAlone, type Engine } from './engine.ts'
import { withSharedMemory } from './shared_import.ts'
import { allStarted, countThreads, startThreaded, type Sharing } from './threaded_engine.ts'

/** A memory grows by 64 MiB at least: each time costs the collection of garbage, and pages nobody writes to cost nothing. */
const STEP = 1024 // pages

/** A byte address in the backend's memory. */
type Place = number

/** What a runtime must have for each of the committed modules. */
const builds = {
  wasm: { feature: 'simd', called: 'SIMD' },
  'wasm-relaxed': { feature: 'relaxedSimd', called: 'relaxed SIMD' },
  'wasm-rust': { feature: 'simd', called: 'SIMD' },
} as const

const compiled = new Map<string, Promise<WebAssembly.Module>>()

/** A committed module over a plain memory or a shared one, fetched and compiled once. */
function loadModule(name: WasmName, isShared: boolean): Promise<WebAssembly.Module> {
  const key = `${name} ${isShared}`
  const known = compiled.get(key)
  if (known !== undefined) return known
  const loaded = binaries[name]().then((bytes) =>
    WebAssembly.compile((isShared ? withSharedMemory(bytes) : bytes) as BufferSource),
  )
  compiled.set(key, loaded)
  return loaded
}

/** Everything that holds the memory; dropped as a whole when the backend is disposed of. */
interface Live {
  readonly engine: Engine
  readonly memory: WebAssembly.Memory
  readonly ops: Ops
}

/** Which build, and what laws may set besides. */
export interface WasmOptions extends BackendOptions, Pick<Sharing, 'cutsSmall'> {
  /** Which of the committed modules; default `wasm`. */
  readonly build?: WasmName
}

/** Runs every op as its WebAssembly kernel. */
export class WasmBackend implements Backend {
  readonly name: WasmName
  readonly #module: WebAssembly.Module
  readonly #start: (module: WebAssembly.Module) => Engine
  readonly #allocator: Allocator
  #state: Live | null

  /**
   * Starts a backend with a memory of its own.
   * @throws MissingError BACKEND_MISSING if this runtime has no WebAssembly SIMD or not the relaxed one, THREADS_MISSING if threads cannot share
   *   memory here, BACKEND_MEMORY if there is no room, BACKEND_THREAD if threads that are always to share do not start;
   *   UsageError THREADS
   */
  static async create({
    threads = 1,
    sharing = 'measured',
    cutsSmall,
    build: name = 'wasm',
  }: WasmOptions = {}): Promise<WasmBackend> {
    const { feature, called } = builds[name]
    if (!probeWasm()[feature])
      throw new MissingError(
        'BACKEND_MISSING',
        `backend ${name}: expected a runtime with WebAssembly ${called}, got one without`,
      )
    const count = countThreads(threads)
    const module = await loadModule(name, count > 1)
    if (count === 1) return new WasmBackend(module, startAlone, name)
    const start = (given: WebAssembly.Module): Engine =>
      startThreaded(given, { threads: count, sharing, cutsSmall })
    const backend = new WasmBackend(module, start, name)
    if (sharing === 'always') await allStarted(backend.#live().engine, count)
    return backend
  }

  /** From a module of these kernels, which `create` knows where to find, and what makes an engine of it. */
  constructor(
    module: WebAssembly.Module,
    start: (module: WebAssembly.Module) => Engine = startAlone,
    name: WasmName = 'wasm',
  ) {
    this.name = name
    this.#module = module
    this.#start = start
    const engine = start(module)
    const { memory, kernels, heapBase } = engine
    this.#allocator = new Allocator(heapBase, (end) => this.#reach(end))
    // WebAssembly takes null for 0, the null address.
    this.#state = { engine, memory, ops: openDoor<Place>(this, (name) => kernels[name]) }
  }

  get ops(): Ops {
    return this.#live().ops
  }

  get liveBuffers(): number {
    return this.#allocator.live
  }

  get threads(): ThreadReport {
    return this.#live().engine.threads
  }

  sibling(): Backend {
    this.#live()
    return new WasmBackend(this.#module, this.#start, this.name)
  }

  allocate(dtype: Dtype, length: number, contents: 'zeros' | 'anything' = 'zeros'): Buffer {
    const buffer = this.#reserve(dtype, length)
    if (contents === 'zeros') this.#view(buffer).fill(0)
    return buffer
  }

  upload(values: Numbers, dtype?: Dtype): Buffer {
    const buffer = this.#reserve(kindOf(values, dtype), values.length)
    this.#view(buffer).set(values)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Numbers, start = 0): void {
    const whole = placed<Place>(this, buffer, 'write')
    checkWritable('write', whole.dtype, values)
    checkRange('write', start, values.length, whole.length)
    this.#view(whole).set(values, start)
  }

  zero(buffer: Buffer): void {
    const whole = placed<Place>(this, buffer, 'zero')
    checkWritable('zero', whole.dtype)
    this.#view(whole).fill(0)
  }

  slice(buffer: Buffer, start: number, length: number): Buffer {
    const whole = placed<Place>(this, buffer, 'slice')
    checkRange('slice', start, length, whole.length)
    return whole.view(start, length, whole.place + arrayTypes[whole.dtype].BYTES_PER_ELEMENT * start)
  }

  read(buffer: Buffer): Numbers {
    return this.#view(placed<Place>(this, buffer, 'read')).slice()
  }

  readF32(buffer: Buffer): Float32Array {
    return this.#holding(buffer, 'f32', 'readF32').slice() as Float32Array
  }

  readI32(buffer: Buffer): Int32Array {
    return this.#holding(buffer, 'i32', 'readI32').slice() as Int32Array
  }

  free(buffer: Buffer): void {
    const whole = placed<Place>(this, buffer, 'free')
    checkFreeable(whole)
    this.#live()
    whole.freed = true
    this.#allocator.free(whole.place)
  }

  dispose(): void {
    this.#state?.engine.end()
    this.#state = null
    this.#allocator.freeAll()
  }

  #live(): Live {
    if (this.#state === null) throw disposedError(this.name)
    return this.#state
  }

  #reserve(dtype: Dtype, length: number): PlacedBuffer<Place> {
    this.#live()
    checkLength(length)
    const bytes = arrayTypes[dtype].BYTES_PER_ELEMENT * length
    const place = this.#allocator.allocate(bytes)
    if (place === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend ${this.name}: expected room for ${bytes} more bytes, got ${this.#allocator.liveBytes} in use of ${PAGE * MOST_PAGES}`,
      )
    return new PlacedBuffer<Place>(this, dtype, length, place, null)
  }

  /** Grows the memory until it reaches `end`; false if it cannot. */
  #reach(end: number): boolean {
    const { memory } = this.#live()
    const pages = memory.buffer.byteLength / PAGE
    const missing = Math.ceil(end / PAGE) - pages
    if (missing <= 0) return true
    const step = Math.max(missing, Math.min(STEP, MOST_PAGES - pages))
    return grow(memory, step) || (step > missing && grow(memory, missing))
  }

  #view({ dtype, place, length }: PlacedBuffer<Place>): Numbers {
    return new arrayTypes[dtype](this.#live().memory.buffer as ArrayBuffer, place, length)
  }

  #holding(buffer: Buffer, dtype: Dtype, name: string): Numbers {
    const whole = placed<Place>(this, buffer, name)
    checkKind(name, whole, dtype)
    return this.#view(whole)
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
