/**
 * The WebAssembly backend: every op as a strict SIMD kernel (assembly/), equal to the reference bit for bit.
 *
 * One memory holds all buffers, and a buffer is an address in it; only threads of the backend's own ever see it. The memory grows on demand up to the 4 GiB
 * that 32-bit addresses reach; growing detaches every view, so views are made when needed and never kept.
 */
import { MissingError, UsageError } from '../../tensor/errors.ts'
import { readFile } from '../../platform/platform.ts'
import type { Dtype } from '../../ops/op.ts'
import type { Backend, BackendOptions, Buffer, Ops, ThreadReport } from '../backend.ts'
import { boundsOf, checkLength, checkRange, openDoor, placed, PlacedBuffer } from '../door.ts'
import { Allocator } from './allocator.ts'
import { MOST_PAGES, PAGE, startAlone, type Engine } from './engine.ts'
import { withSharedMemory } from './shared_import.ts'
import { allStarted, countThreads, startThreaded, type Sharing } from './threaded_engine.ts'

/** A byte address in the backend's memory. */
type Place = number

/** The smallest module that needs SIMD: a function that makes an i8x16 and drops it. */
const SIMD_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11,
])

/** Whether this runtime has WebAssembly with SIMD. */
export function hasSimd(): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(SIMD_PROBE)
}

const compiled = new Map<boolean, Promise<WebAssembly.Module>>()

/** The committed module over a plain memory or a shared one, fetched and compiled once. */
function loadModule(isShared: boolean): Promise<WebAssembly.Module> {
  const known = compiled.get(isShared)
  if (known !== undefined) return known
  const loaded = readFile(new URL('kernels.wasm', import.meta.url)).then((bytes) =>
    WebAssembly.compile((isShared ? withSharedMemory(bytes) : bytes) as BufferSource),
  )
  compiled.set(isShared, loaded)
  return loaded
}

/** Everything that holds the memory; dropped as a whole when the backend is disposed of. */
interface Live {
  readonly engine: Engine
  readonly memory: WebAssembly.Memory
  readonly ops: Ops
}

/** What laws may set besides. */
export interface WasmOptions extends BackendOptions, Pick<Sharing, 'cutsSmall'> {}

/** Runs every op as its WebAssembly kernel. */
export class WasmBackend implements Backend {
  readonly name = 'wasm'
  readonly #allocator: Allocator
  #state: Live | null

  /**
   * Starts a backend with a memory of its own.
   * @throws MissingError BACKEND_MISSING if this runtime has no WebAssembly SIMD, THREADS_MISSING if threads cannot share
   *   memory here, BACKEND_MEMORY if there is no room, BACKEND_THREAD if threads that are always to share do not start;
   *   UsageError THREADS
   */
  static async create({
    threads = 1,
    sharing = 'measured',
    cutsSmall,
  }: WasmOptions = {}): Promise<WasmBackend> {
    if (!hasSimd())
      throw new MissingError(
        'BACKEND_MISSING',
        'backend wasm: expected a runtime with WebAssembly SIMD, got one without',
      )
    const count = countThreads(threads)
    const module = await loadModule(count > 1)
    if (count === 1) return new WasmBackend(module)
    const engine = startThreaded(module, { threads: count, sharing, cutsSmall })
    if (sharing === 'always') await allStarted(engine, count)
    return new WasmBackend(module, () => engine)
  }

  /** From a module of these kernels, which `create` knows where to find, and what makes an engine of it. */
  constructor(module: WebAssembly.Module, start: (module: WebAssembly.Module) => Engine = startAlone) {
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

  allocate(dtype: Dtype, length: number): Buffer {
    const buffer = this.#reserve(dtype, length)
    new Float32Array(this.#live().memory.buffer, buffer.place, length).fill(0)
    return buffer
  }

  upload(values: Float32Array | Int32Array): Buffer {
    if (values instanceof Float32Array) {
      const buffer = this.#reserve('f32', values.length)
      this.#floats(buffer, 'upload').set(values)
      return buffer
    }
    const buffer = this.#reserve('i32', values.length)
    this.#integers(buffer, 'upload').set(values)
    buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Float32Array, start = 0): void {
    const floats = this.#floats(buffer, 'write')
    checkRange('write', start, values.length, floats.length)
    floats.set(values, start)
  }

  zero(buffer: Buffer): void {
    this.#floats(buffer, 'zero').fill(0)
  }

  slice(buffer: Buffer, start: number, length: number): Buffer {
    const whole = placed<Place>(this, buffer, 'slice')
    checkRange('slice', start, length, whole.length)
    return whole.view(start, length, whole.place + 4 * start)
  }

  readF32(buffer: Buffer): Float32Array {
    return this.#floats(buffer, 'readF32').slice()
  }

  readI32(buffer: Buffer): Int32Array {
    return this.#integers(buffer, 'readI32').slice()
  }

  free(buffer: Buffer): void {
    const whole = placed<Place>(this, buffer, 'free')
    if (whole.parent) throw new UsageError('BUFFER_VIEW', 'free: expected a buffer, got a view of one')
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
    if (this.#state === null)
      throw new UsageError('BACKEND_DISPOSED', 'backend wasm: expected a live backend, got a disposed one')
    return this.#state
  }

  #reserve(dtype: Dtype, length: number): PlacedBuffer<Place> {
    this.#live()
    checkLength(length)
    const place = this.#allocator.allocate(4 * length)
    if (place === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend wasm: expected room for ${4 * length} more bytes, got ${this.#allocator.liveBytes} in use of ${PAGE * MOST_PAGES}`,
      )
    return new PlacedBuffer<Place>(this, dtype, length, place, null)
  }

  /** Grows the memory until it reaches `end`; false if it cannot. */
  #reach(end: number): boolean {
    const { memory } = this.#live()
    const missing = Math.ceil((end - memory.buffer.byteLength) / PAGE)
    if (missing <= 0) return true
    try {
      memory.grow(missing)
      return true
    } catch (error) {
      if (error instanceof RangeError) return false
      throw error
    }
  }

  #floats(buffer: Buffer, name: string): Float32Array<ArrayBuffer> {
    const { length, place } = this.#holding(buffer, 'f32', name)
    return new Float32Array(this.#live().memory.buffer as ArrayBuffer, place, length)
  }

  #integers(buffer: Buffer, name: string): Int32Array<ArrayBuffer> {
    const { length, place } = this.#holding(buffer, 'i32', name)
    return new Int32Array(this.#live().memory.buffer as ArrayBuffer, place, length)
  }

  #holding(buffer: Buffer, dtype: Dtype, name: string): PlacedBuffer<Place> {
    const whole = placed<Place>(this, buffer, name)
    if (whole.dtype !== dtype)
      throw new UsageError('BUFFER_KIND', `${name}: expected ${dtype}, got ${whole.dtype}`)
    return whole
  }
}
