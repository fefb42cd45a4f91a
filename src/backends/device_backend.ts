/**
 * A backend on a device with a memory of its own: a buffer is an address of device memory. Calls are queued in order, and reading
 * waits for them; so a failure is reported by a later call. From then on every call throws the same error, because the content
 * of buffers is unknown.
 */
import type { KernelName } from '../ops/catalog.ts'
import { arrayTypes, type Dtype } from '../ops/op.ts'
import { MissingError } from '../tensor/errors.ts'
import { CheckedBackend } from './checked_backend.ts'
import type { KernelFunction } from './calls.ts'
import type { OwnedBuffer } from './owned_buffer.ts'

/** A device, which several backends share; it ends with the last of them. */
export abstract class Device {
  /** In words. */
  abstract readonly name: string
  #users = 0

  /** Another backend uses this device. */
  retain(): void {
    this.#users++
  }

  /** A backend no longer does. */
  release(): void {
    if (--this.#users === 0) this.end()
  }

  /** Gives back everything that was made on it. */
  protected abstract end(): void

  /** Memory for so many bytes; null if there is not enough, even when all that was given back is free. */
  abstract allocate(bytes: number): number | null

  /** Gives memory back, once nothing uses it any more. */
  abstract giveBack(...memory: readonly DeviceMemory[]): void

  /** The address that many bytes further on. */
  abstract further(address: number, bytes: number): number

  /** Sets bytes to 0. @param isNew whether nothing has used them since they were allocated */
  abstract clear(address: number, bytes: number, isNew: boolean): void
}

/** Memory of a device. */
export interface DeviceMemory {
  readonly address: number
  readonly bytes: number
}

/** See the head of this file. */
export abstract class DeviceBackend<On extends Device> extends CheckedBackend<number> {
  protected readonly on: On

  /** @param kernelOf as `CheckedBackend` takes it */
  constructor(on: On, kernelOf: (name: KernelName) => KernelFunction<number>) {
    super(kernelOf)
    this.on = on
    on.retain()
  }

  get device(): string {
    return this.on.name
  }

  protected reserve(dtype: Dtype, length: number): number {
    const bytes = bytesOf(dtype, length)
    const address = this.on.allocate(bytes)
    if (address !== null) return address
    throw new MissingError(
      'BACKEND_MEMORY',
      `backend ${this.name}: expected room for ${bytes} more bytes, got too little on ${this.on.name}`,
    )
  }

  protected release(buffer: OwnedBuffer<number>): void {
    this.on.giveBack(memoryOf(buffer))
  }

  protected addressIn({ dtype, address }: OwnedBuffer<number>, start: number): number {
    return this.on.further(address, bytesOf(dtype, start))
  }

  protected clear(buffer: OwnedBuffer<number>, isNew: boolean): void {
    const { address, bytes } = memoryOf(buffer)
    this.on.clear(address, bytes, isNew)
  }

  protected shutDown(buffers: readonly OwnedBuffer<number>[]): void {
    try {
      this.on.giveBack(...buffers.map(memoryOf))
    } finally {
      this.on.release()
    }
  }
}

/** Bytes of so many numbers. */
export function bytesOf(dtype: Dtype, length: number): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT * length
}

/** The memory of a buffer. */
export function memoryOf({ dtype, length, address }: OwnedBuffer<number>): DeviceMemory {
  return { address, bytes: bytesOf(dtype, length) }
}
