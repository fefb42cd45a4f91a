/**
 * The reference backend: the functions of src/ops on plain typed arrays. It is the definition the others are held to,
 * and makes no attempt to be fast.
 */
import { opRow } from '../ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import type { Backend, BackendOptions, Buffer, Ops, ThreadReport } from './backend.ts'
import {
  boundsOf,
  checkFreeable,
  checkKind,
  checkLength,
  checkOneThread,
  checkRange,
  checkWritable,
  disposedError,
  kindOf,
  openDoor,
  placed,
  PlacedBuffer,
  type Kernel,
} from './checked_ops.ts'

type Place = Numbers

/** A byte of numbers that nobody wrote: floats of such are NaN. */
const NOISE = 0xff

/** Runs every op as its TypeScript definition. */
export class ReferenceBackend implements Backend {
  readonly name = 'reference'
  readonly threads: ThreadReport = { threads: 1, calls: [] }
  readonly #ops: Ops
  #live = 0
  #disposed = false

  /** Starts one. @throws UsageError THREADS for more than one thread */
  static create(options: BackendOptions = {}): ReferenceBackend {
    checkOneThread('reference', options)
    return new ReferenceBackend()
  }

  constructor() {
    this.#ops = openDoor<Place>(this, (name) => opRow(name).reference as Kernel<Place>)
  }

  get ops(): Ops {
    this.#expectLive()
    return this.#ops
  }

  get liveBuffers(): number {
    return this.#live
  }

  sibling(): Backend {
    this.#expectLive()
    return new ReferenceBackend()
  }

  allocate(dtype: Dtype, length: number, contents: 'zeros' | 'anything' = 'zeros'): Buffer {
    this.#expectLive()
    checkLength(length)
    this.#live++
    const place = new arrayTypes[dtype](length)
    // What was never written shows.
    if (contents === 'anything') new Uint8Array(place.buffer).fill(NOISE)
    return new PlacedBuffer<Place>(this, dtype, length, place, null)
  }

  upload(values: Numbers, dtype?: Dtype): Buffer {
    const buffer = this.allocate(kindOf(values, dtype), values.length) as PlacedBuffer<Place>
    buffer.place.set(values)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Numbers, start = 0): void {
    const { dtype, length, place } = this.#whole(buffer, 'write')
    checkWritable('write', dtype, values)
    checkRange('write', start, values.length, length)
    place.set(values, start)
  }

  zero(buffer: Buffer): void {
    const { dtype, place } = this.#whole(buffer, 'zero')
    checkWritable('zero', dtype)
    place.fill(0)
  }

  slice(buffer: Buffer, start: number, length: number): Buffer {
    const whole = placed<Place>(this, buffer, 'slice')
    checkRange('slice', start, length, whole.length)
    return whole.view(start, length, whole.place.subarray(start, start + length))
  }

  read(buffer: Buffer): Numbers {
    return this.#whole(buffer, 'read').place.slice()
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
    whole.freed = true
    this.#live--
  }

  dispose(): void {
    this.#live = 0
    this.#disposed = true
  }

  #expectLive(): void {
    if (this.#disposed) throw disposedError(this.name)
  }

  #whole(buffer: Buffer, name: string): PlacedBuffer<Place> {
    this.#expectLive()
    return placed<Place>(this, buffer, name)
  }

  #holding(buffer: Buffer, dtype: Dtype, name: string): Place {
    const whole = this.#whole(buffer, name)
    checkKind(name, whole, dtype)
    return whole.place
  }
}
