/**
 * The checks of every backend before its memory is accessed: it is not disposed, a buffer is its own and not freed, and kinds
 * and ranges fit. It also counts allocated buffers.
 *
 * A concrete backend adds memory and kernels: the abstract methods below, which trust their arguments, and the function
 * that gives the kernel of each op.
 */
import type { KernelName } from '../ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Backend, BackendName, BackendOptions, Buffer, Ops, ThreadReport } from './backend.ts'
import type { KernelFunction } from './calls.ts'
import { makeCheckedOps } from './checked_ops.ts'
import {
  boundsOf,
  checkFreeable,
  checkRange,
  checkShape,
  kindOf,
  lengthOf,
  OwnedBuffer,
  ownedBuffer,
} from './owned_buffer.ts'
import { Recorder } from './recorder.ts'

/**
 * Checks the number of threads of a backend that has one.
 * @throws UsageError THREADS
 */
export function checkOneThread(name: BackendName, { threads = 1 }: BackendOptions): void {
  if (threads !== 1 && threads !== 'auto')
    throw new UsageError('THREADS', `threads: expected 1 with the ${name} backend, got ${threads}`)
}

/** A backend whose buffers stand at addresses: typed arrays, pointers, device addresses. */
export abstract class CheckedBackend<Address> implements Backend {
  abstract readonly name: BackendName
  readonly #buffers = new Set<OwnedBuffer<Address>>()
  readonly #recorder = new Recorder<Address>()
  /** Null once the backend is disposed. */
  #ops: Ops | null

  /** @param kernelOf the kernel of each op, which takes addresses for buffers */
  constructor(kernelOf: (name: KernelName) => KernelFunction<Address>) {
    this.#ops = makeCheckedOps<Address>(this, kernelOf, this.#recorder)
  }

  // ---- What a backend adds ----------------------------------------------------------------------------------------

  abstract sibling(): Backend

  /** Memory for `length` numbers, uninitialised. @throws MissingError BACKEND_MEMORY */
  protected abstract reserve(dtype: Dtype, length: number): Address

  /** Gives back what `reserve` gave. */
  protected abstract release(buffer: OwnedBuffer<Address>): void

  /** The address of numbers start..start+length of a buffer. */
  protected abstract addressIn(buffer: OwnedBuffer<Address>, start: number, length: number): Address

  /** Sets a buffer to zeros. @param isNew whether nothing has used it since it was reserved */
  protected abstract clear(buffer: OwnedBuffer<Address>, isNew: boolean): void

  /** Copies numbers into a buffer, from `start` on. @param isNew as in `clear` */
  protected abstract copyIn(
    buffer: OwnedBuffer<Address>,
    values: Numbers,
    start: number,
    isNew: boolean,
  ): void

  /** A copy of what a buffer holds. */
  protected abstract copyOut(buffer: OwnedBuffer<Address>): Numbers

  /** The same of several. */
  protected copyOutAll(buffers: readonly OwnedBuffer<Address>[]): Numbers[] {
    return buffers.map((buffer) => this.copyOut(buffer))
  }

  /** Ends what the backend started. @param buffers those not freed */
  protected abstract shutDown(buffers: readonly OwnedBuffer<Address>[]): void

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

  allocate(dtype: Dtype, shape: readonly number[], contents: 'zeros' | 'anything' = 'zeros'): Buffer {
    const buffer = this.#make('allocate', dtype, shape)
    if (contents === 'zeros') this.clear(buffer, true)
    return buffer
  }

  upload(values: Numbers, shape: readonly number[] = [values.length], dtype?: Dtype): Buffer {
    const kind = kindOf(values, dtype)
    if (lengthOf(shape) !== values.length)
      throw new UsageError(
        'SIZE',
        `upload: expected numbers for [${shape.join(', ')}], got ${values.length} of them`,
      )
    const buffer = this.#make('upload', kind, shape)
    this.copyIn(buffer, values, 0, true)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Numbers, start = 0): void {
    const own = this.#writable(buffer, 'write')
    if (!(values instanceof arrayTypes[own.dtype]))
      throw new UsageError('BUFFER_KIND', `write: expected ${own.dtype}, got another kind of array`)
    checkRange('write', start, values.length, own.length)
    this.copyIn(own, values, start, false)
  }

  zero(buffer: Buffer): void {
    this.clear(this.#writable(buffer, 'zero'), false)
  }

  view(buffer: Buffer, shape: readonly number[], start = 0): Buffer {
    const whole = ownedBuffer<Address>(this, buffer, 'view')
    checkShape('view', shape)
    const length = lengthOf(shape)
    checkRange('view', start, length, whole.length)
    return whole.view(shape, start, this.addressIn(whole, start, length))
  }

  read(buffer: Buffer): Numbers {
    return this.copyOut(this.#own(buffer, 'read'))
  }

  readAll(buffers: readonly Buffer[]): Numbers[] {
    return this.copyOutAll(buffers.map((buffer) => this.#own(buffer, 'readAll')))
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
    this.#recorder.end(own)
    this.#buffers.delete(own)
    this.release(own)
  }

  dispose(): void {
    if (this.#ops === null) return
    this.#ops = null
    this.#recorder.end({ isRecorded: true })
    const buffers = [...this.#buffers]
    this.#buffers.clear()
    this.shutDown(buffers)
  }

  /** @throws UsageError BACKEND_DISPOSED */
  protected expectLive(): void {
    if (this.#ops === null) this.#refuse()
  }

  #refuse(): never {
    throw new UsageError(
      'BACKEND_DISPOSED',
      `backend ${this.name}: expected a live backend, got a disposed one`,
    )
  }

  #own(buffer: Buffer, name: string): OwnedBuffer<Address> {
    this.expectLive()
    return ownedBuffer<Address>(this, buffer, name)
  }

  #writable(buffer: Buffer, name: string): OwnedBuffer<Address> {
    const own = this.#own(buffer, name)
    if (own.dtype === 'i32')
      throw new UsageError('BUFFER_KIND', `${name}: expected a buffer that may change, got one of i32`)
    return own
  }

  #readAs(buffer: Buffer, dtype: Dtype, name: string): Numbers {
    const own = this.#own(buffer, name)
    if (own.dtype !== dtype)
      throw new UsageError('BUFFER_KIND', `${name}: expected ${dtype}, got ${own.dtype}`)
    return this.copyOut(own)
  }

  #make(name: string, dtype: Dtype, shape: readonly number[]): OwnedBuffer<Address> {
    this.expectLive()
    checkShape(name, shape)
    const buffer = new OwnedBuffer(this, dtype, shape, this.reserve(dtype, lengthOf(shape)), null)
    this.#buffers.add(buffer)
    return buffer
  }
}
