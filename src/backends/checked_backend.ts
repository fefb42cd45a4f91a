/**
 * What every backend does before its memory is touched: it checks that it is live, that a buffer is its own and not freed,
 * and that kinds and ranges fit; and it counts what is allocated.
 *
 * A concrete backend adds memory and kernels: the abstract methods below, which trust their arguments, and the function
 * that gives the kernel of each op.
 */
import type { OpName } from '../ops/catalog.ts'
import type { Dtype, Numbers } from '../ops/op.ts'
import type { Backend, BackendName, Buffer, Ops, ThreadReport } from './backend.ts'
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
  type Kernel,
} from './checked_ops.ts'

/** A backend whose buffers stand at addresses: typed arrays, pointers, device addresses. */
export abstract class CheckedBackend<Place> implements Backend {
  abstract readonly name: BackendName
  readonly #buffers = new Set<PlacedBuffer<Place>>()
  /** Null once the backend is disposed. */
  #ops: Ops | null

  /** @param kernelOf the kernel of each op, which takes addresses for buffers */
  constructor(kernelOf: (name: OpName) => Kernel<Place>) {
    this.#ops = openDoor<Place>(this, kernelOf)
  }

  // ---- What a backend adds ----------------------------------------------------------------------------------------

  abstract sibling(): Backend

  /** Memory for `length` numbers, uninitialised. @throws MissingError BACKEND_MEMORY */
  protected abstract reserve(dtype: Dtype, length: number): Place

  /** Gives back what `reserve` gave. */
  protected abstract release(buffer: PlacedBuffer<Place>): void

  /** The address of numbers start..start+length of a buffer. */
  protected abstract addressIn(buffer: PlacedBuffer<Place>, start: number, length: number): Place

  /** Sets a buffer to zeros. @param isNew whether nothing has used it since it was reserved */
  protected abstract clear(buffer: PlacedBuffer<Place>, isNew: boolean): void

  /** Copies numbers into a buffer, from `start` on. @param isNew as in `clear` */
  protected abstract copyIn(buffer: PlacedBuffer<Place>, values: Numbers, start: number, isNew: boolean): void

  /** A copy of what a buffer holds. */
  protected abstract copyOut(buffer: PlacedBuffer<Place>): Numbers

  /** Ends what the backend started. @param buffers those not freed */
  protected abstract shutDown(buffers: readonly PlacedBuffer<Place>[]): void

  // ---- What is checked --------------------------------------------------------------------------------------------

  get ops(): Ops {
    return this.#ops ?? this.#refuse()
  }

  get liveBuffers(): number {
    return this.#buffers.size
  }

  get threads(): ThreadReport {
    return { threads: 1, calls: [] }
  }

  allocate(dtype: Dtype, length: number, contents: 'zeros' | 'anything' = 'zeros'): Buffer {
    const buffer = this.#make(dtype, length)
    if (contents === 'zeros') this.clear(buffer, true)
    return buffer
  }

  upload(values: Numbers, dtype?: Dtype): Buffer {
    const buffer = this.#make(kindOf(values, dtype), values.length)
    this.copyIn(buffer, values, 0, true)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Numbers, start = 0): void {
    const own = this.#own(buffer, 'write')
    checkWritable('write', own.dtype, values)
    checkRange('write', start, values.length, own.length)
    this.copyIn(own, values, start, false)
  }

  zero(buffer: Buffer): void {
    const own = this.#own(buffer, 'zero')
    checkWritable('zero', own.dtype)
    this.clear(own, false)
  }

  slice(buffer: Buffer, start: number, length: number): Buffer {
    const whole = placed<Place>(this, buffer, 'slice')
    checkRange('slice', start, length, whole.length)
    return whole.view(start, length, this.addressIn(whole, start, length))
  }

  read(buffer: Buffer): Numbers {
    return this.copyOut(this.#own(buffer, 'read'))
  }

  readF32(buffer: Buffer): Float32Array {
    return this.#readAs(buffer, 'f32', 'readF32') as Float32Array
  }

  readI32(buffer: Buffer): Int32Array {
    return this.#readAs(buffer, 'i32', 'readI32') as Int32Array
  }

  free(buffer: Buffer): void {
    const own = this.#own(buffer, 'free')
    checkFreeable(own)
    own.freed = true
    this.#buffers.delete(own)
    this.release(own)
  }

  dispose(): void {
    if (this.#ops === null) return
    this.#ops = null
    const buffers = [...this.#buffers]
    this.#buffers.clear()
    this.shutDown(buffers)
  }

  /** @throws UsageError BACKEND_DISPOSED */
  protected expectLive(): void {
    if (this.#ops === null) this.#refuse()
  }

  #refuse(): never {
    throw disposedError(this.name)
  }

  #own(buffer: Buffer, name: string): PlacedBuffer<Place> {
    this.expectLive()
    return placed<Place>(this, buffer, name)
  }

  #readAs(buffer: Buffer, dtype: Dtype, name: string): Numbers {
    const own = this.#own(buffer, name)
    checkKind(name, own, dtype)
    return this.copyOut(own)
  }

  #make(dtype: Dtype, length: number): PlacedBuffer<Place> {
    this.expectLive()
    checkLength(length)
    const buffer = new PlacedBuffer(this, dtype, length, this.reserve(dtype, length), null)
    this.#buffers.add(buffer)
    return buffer
  }
}
