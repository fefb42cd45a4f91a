/**
 * The reference backend: the functions of src/ops on plain typed arrays. It is the definition the others are held to,
 * and makes no attempt to be fast.
 */
import { opRow } from '../ops/catalog.ts'
import type { Dtype } from '../ops/op.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Backend, Buffer, Ops, ThreadReport } from './backend.ts'
import { boundsOf, checkLength, checkRange, openDoor, placed, PlacedBuffer, type Kernel } from './door.ts'

type Place = Float32Array | Int32Array

/** Runs every op as its TypeScript definition. */
export class ReferenceBackend implements Backend {
  readonly name = 'reference'
  readonly threads: ThreadReport = { threads: 1, calls: [] }
  readonly #ops: Ops
  #live = 0
  #disposed = false

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

  allocate(dtype: Dtype, length: number): Buffer {
    this.#expectLive()
    checkLength(length)
    this.#live++
    const place = dtype === 'f32' ? new Float32Array(length) : new Int32Array(length)
    return new PlacedBuffer<Place>(this, dtype, length, place, null)
  }

  upload(values: Float32Array | Int32Array): Buffer {
    const dtype = values instanceof Float32Array ? 'f32' : 'i32'
    const buffer = this.allocate(dtype, values.length) as PlacedBuffer<Place>
    buffer.place.set(values)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
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
    return whole.view(start, length, whole.place.subarray(start, start + length))
  }

  readF32(buffer: Buffer): Float32Array {
    return this.#floats(buffer, 'readF32').slice()
  }

  readI32(buffer: Buffer): Int32Array {
    return this.#holding(buffer, 'i32', 'readI32').slice() as Int32Array
  }

  free(buffer: Buffer): void {
    const whole = placed<Place>(this, buffer, 'free')
    if (whole.parent) throw new UsageError('BUFFER_VIEW', 'free: expected a buffer, got a view of one')
    whole.freed = true
    this.#live--
  }

  dispose(): void {
    this.#live = 0
    this.#disposed = true
  }

  #expectLive(): void {
    if (this.#disposed)
      throw new UsageError(
        'BACKEND_DISPOSED',
        'backend reference: expected a live backend, got a disposed one',
      )
  }

  #floats(buffer: Buffer, name: string): Float32Array {
    return this.#holding(buffer, 'f32', name) as Float32Array
  }

  #holding(buffer: Buffer, dtype: Dtype, name: string): Place {
    this.#expectLive()
    const whole = placed<Place>(this, buffer, name)
    if (whole.dtype !== dtype)
      throw new UsageError('BUFFER_KIND', `${name}: expected ${dtype}, got ${whole.dtype}`)
    return whole.place
  }
}
