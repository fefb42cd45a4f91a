/**
 * The CUDA backends: every op as a kernel of cuda/. `cuda` runs those that are equal to the reference bit for bit, on an
 * NVIDIA GPU; `cuda-fast` those that trade bits for speed within the bounds of the catalogue, where there is one. The
 * emulated ones run the very same sources on the processor, thread by thread, to be judged where there is no GPU.
 *
 * A buffer is an address of device memory. Calls are queued in order (stream.ts), and reading waits for them; so a kernel
 * that fails is heard of at a later call. From then on every call is refused with the same words: what buffers hold is not
 * known any more.
 */
import { arrayTypes, type Dtype, type Numbers } from '../../ops/op.ts'
import { pathOfUrl, runtime } from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { Backend, BackendName, BackendOptions, Buffer, Ops, ThreadReport } from '../backend.ts'
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
} from '../checked_ops.ts'
import { Device, type DeviceOptions } from './device.ts'
import { Driver } from './driver.ts'
import type { KernelSet } from './fast_launch.ts'
import type { GraphCounts } from './graphs.ts'
import type { DeviceMemory, Stream } from './stream.ts'

/** A device address. */
type Place = number

/** The backends of this file: what runs their kernels, and which. */
const kinds = {
  cuda: { isEmulated: false, set: 'exact' },
  'cuda-fast': { isEmulated: false, set: 'fast' },
  'cuda-emulated': { isEmulated: true, set: 'exact' },
  'cuda-fast-emulated': { isEmulated: true, set: 'fast' },
} as const satisfies Partial<Record<BackendName, { isEmulated: boolean; set: KernelSet }>>

/** The names of the backends of this file. */
export type CudaName = keyof typeof kinds

/** The names of the emulated ones. */
export type EmulatedName = Extract<CudaName, `${string}emulated`>

/** Where `npm run build:cuda-emulator` puts its library. */
const emulatorUrl: URL = new URL('../../../cuda/build/libcuda_emulated.so', import.meta.url)

function openDriver(name: CudaName): Promise<Driver> {
  if (!kinds[name].isEmulated) {
    // What the driver's own installer calls it.
    const library = runtime.system.startsWith('win32') ? 'nvcuda.dll' : 'libcuda.so.1'
    return Driver.open(library, `backend ${name}: expected the NVIDIA driver (${library})`)
  }
  return Driver.open(
    pathOfUrl(emulatorUrl),
    `backend ${name}: expected the emulator that "npm run build:cuda-emulator" makes`,
  )
}

/** Runs every op as its CUDA kernel. */
export class CudaBackend implements Backend {
  readonly name: CudaName
  readonly threads: ThreadReport = { threads: 1, calls: [] }
  readonly #device: Device
  readonly #buffers = new Set<PlacedBuffer<Place>>()
  readonly #ops: Ops
  #disposed = false

  /**
   * Starts a backend on the first device.
   * @throws MissingError CUDA_DRIVER, CUDA_DEVICE, CUDA_CALL for what is not here or does not work; UsageError THREADS
   */
  static async create(name: CudaName, options: BackendOptions = {}): Promise<CudaBackend> {
    checkOneThread(name, options)
    return CudaBackend.on(await openDriver(name), name, options)
  }

  /** The emulator in another library than the one `create` finds. @throws MissingError as `create` does */
  static async emulatedBy(
    path: string,
    options: DeviceOptions = {},
    name: EmulatedName = 'cuda-emulated',
  ): Promise<CudaBackend> {
    return CudaBackend.on(await Driver.open(path, `backend ${name}: expected an emulator`), name, options)
  }

  /** On the first device of a driver. @throws MissingError as `create` does */
  static async on(driver: Driver, name: CudaName, options: DeviceOptions = {}): Promise<CudaBackend> {
    return new CudaBackend(await Device.open(driver, name, options), name)
  }

  private constructor(device: Device, name: CudaName) {
    this.name = name
    this.#device = device
    this.#ops = openDoor<Place>(this, (op) => device.kernelOf(op, kinds[name].set))
    device.retain()
  }

  get ops(): Ops {
    this.#expectLive()
    return this.#ops
  }

  get device(): string {
    return this.#device.name
  }

  /** What was done by graphs on this device, by all backends on it; null without them. */
  get graphCounts(): GraphCounts | null {
    return this.#device.stream.graphCounts
  }

  deviceTime(): number {
    this.#expectLive()
    return this.#device.stream.deviceTime()
  }

  get liveBuffers(): number {
    return this.#buffers.size
  }

  sibling(): Backend {
    this.#expectLive()
    return new CudaBackend(this.#device, this.name)
  }

  allocate(dtype: Dtype, length: number, contents: 'zeros' | 'anything' = 'zeros'): Buffer {
    const buffer = this.#reserve(dtype, length)
    if (contents === 'zeros') this.#clear(buffer, true)
    return buffer
  }

  upload(values: Numbers, dtype?: Dtype): Buffer {
    const buffer = this.#reserve(kindOf(values, dtype), values.length)
    this.#stream.copyIn(buffer.place, values, true)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Numbers, start = 0): void {
    const whole = this.#whole(buffer, 'write')
    checkWritable('write', whole.dtype, values)
    checkRange('write', start, values.length, whole.length)
    this.#stream.copyIn(whole.place + start * values.BYTES_PER_ELEMENT, values, false)
  }

  zero(buffer: Buffer): void {
    const whole = this.#whole(buffer, 'zero')
    checkWritable('zero', whole.dtype)
    this.#clear(whole, false)
  }

  slice(buffer: Buffer, start: number, length: number): Buffer {
    const whole = placed<Place>(this, buffer, 'slice')
    checkRange('slice', start, length, whole.length)
    return whole.view(start, length, whole.place + arrayTypes[whole.dtype].BYTES_PER_ELEMENT * start)
  }

  read(buffer: Buffer): Numbers {
    return this.#copyOut(this.#whole(buffer, 'read'))
  }

  readF32(buffer: Buffer): Float32Array {
    return this.#copyOut(this.#holding(buffer, 'f32', 'readF32')) as Float32Array
  }

  readI32(buffer: Buffer): Int32Array {
    return this.#copyOut(this.#holding(buffer, 'i32', 'readI32')) as Int32Array
  }

  free(buffer: Buffer): void {
    const whole = this.#whole(buffer, 'free')
    checkFreeable(whole)
    whole.freed = true
    this.#buffers.delete(whole)
    this.#stream.giveBack(memoryOf(whole))
  }

  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    try {
      this.#stream.giveBack(...[...this.#buffers].map(memoryOf))
      // What was launched may still use them. After a failure nobody can wait: the error that counts was thrown.
      if (!this.#device.driver.hasFailed) this.#stream.wait()
    } finally {
      this.#buffers.clear()
      this.#device.release()
    }
  }

  get #stream(): Stream {
    return this.#device.stream
  }

  #expectLive(): void {
    if (this.#disposed) throw disposedError(this.name)
  }

  #whole(buffer: Buffer, name: string): PlacedBuffer<Place> {
    this.#expectLive()
    return placed<Place>(this, buffer, name)
  }

  #holding(buffer: Buffer, dtype: Dtype, name: string): PlacedBuffer<Place> {
    const whole = this.#whole(buffer, name)
    checkKind(name, whole, dtype)
    return whole
  }

  /** Device memory; a byte for no numbers, because an empty list is not the list that is not there. */
  #reserve(dtype: Dtype, length: number): PlacedBuffer<Place> {
    this.#expectLive()
    checkLength(length)
    const bytes = bytesOf(dtype, length)
    const place = this.#stream.allocate(Math.max(1, bytes))
    if (place === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend ${this.name}: expected room for ${bytes} more bytes, got too little on ${this.#device.name}`,
      )
    const buffer = new PlacedBuffer<Place>(this, dtype, length, place, null)
    this.#buffers.add(buffer)
    return buffer
  }

  #clear({ dtype, length, place }: PlacedBuffer<Place>, isNew: boolean): void {
    this.#stream.clear(place, bytesOf(dtype, length), isNew)
  }

  #copyOut({ dtype, length, place }: PlacedBuffer<Place>): Numbers {
    const values = new arrayTypes[dtype](length)
    this.#stream.copyOut(values, place)
    return values
  }
}

function memoryOf({ dtype, length, place }: PlacedBuffer<Place>): DeviceMemory {
  return { place, bytes: bytesOf(dtype, length) }
}

function bytesOf(dtype: Dtype, length: number): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT * length
}
