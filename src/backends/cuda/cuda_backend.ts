/**
 * The CUDA backends: every op as a kernel of cuda/. `cuda` runs those that are equal to the reference bit for bit, on an
 * NVIDIA GPU; `cuda-fast` those that trade bits for speed within the bounds of the catalogue, where there is one. The
 * emulated ones run the very same sources on the processor, thread by thread, to be judged where there is no GPU.
 *
 * A buffer is an address of device memory. Calls are queued in order, and reading waits for them; so a kernel that fails
 * may be heard of at a later call.
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
} from '../door.ts'
import { Device } from './device.ts'
import { Driver } from './driver.ts'
import type { KernelSet } from './fast_launch.ts'

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

/** Whether a backend is one of this file. */
export function isCudaName(name: string): name is CudaName {
  return Object.hasOwn(kinds, name)
}

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
    return new CudaBackend(await Device.open(await openDriver(name), name), name)
  }

  /** The emulator in another library than the one `create` finds. @throws MissingError as `create` does */
  static async emulatedBy(path: string, name: EmulatedName = 'cuda-emulated'): Promise<CudaBackend> {
    const driver = await Driver.open(path, `backend ${name}: expected an emulator`)
    return new CudaBackend(await Device.open(driver, name), name)
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

  get liveBuffers(): number {
    return this.#buffers.size
  }

  sibling(): Backend {
    this.#expectLive()
    return new CudaBackend(this.#device, this.name)
  }

  allocate(dtype: Dtype, length: number, contents: 'zeros' | 'anything' = 'zeros'): Buffer {
    const buffer = this.#reserve(dtype, length)
    if (contents === 'zeros') this.#clear(buffer)
    return buffer
  }

  upload(values: Numbers, dtype?: Dtype): Buffer {
    const buffer = this.#reserve(kindOf(values, dtype), values.length)
    this.#copyIn(buffer.place, values)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: Buffer, values: Numbers, start = 0): void {
    const whole = this.#whole(buffer, 'write')
    checkWritable('write', whole.dtype, values)
    checkRange('write', start, values.length, whole.length)
    this.#copyIn(whole.place + start * values.BYTES_PER_ELEMENT, values)
  }

  zero(buffer: Buffer): void {
    const whole = this.#whole(buffer, 'zero')
    checkWritable('zero', whole.dtype)
    this.#clear(whole)
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
    this.#giveBack(whole)
  }

  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    for (const buffer of this.#buffers) this.#giveBack(buffer)
    this.#buffers.clear()
    this.#device.release()
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
    const bytes = arrayTypes[dtype].BYTES_PER_ELEMENT * length
    const place = this.#device.driver.allocate(Math.max(1, bytes))
    if (place === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend ${this.name}: expected room for ${bytes} more bytes, got too little on ${this.#device.name}`,
      )
    const buffer = new PlacedBuffer<Place>(this, dtype, length, place, null)
    this.#buffers.add(buffer)
    return buffer
  }

  /** After a kernel has failed nothing can be given back; the error that counts is the kernel's. */
  #giveBack({ place }: PlacedBuffer<Place>): void {
    const { driver } = this.#device
    if (driver.hasFailed) driver.tryCall('cuMemFree_v2', place)
    else driver.call('cuMemFree_v2', place)
  }

  #clear({ dtype, length, place }: PlacedBuffer<Place>): void {
    const bytes = arrayTypes[dtype].BYTES_PER_ELEMENT * length
    if (bytes > 0) this.#device.driver.call('cuMemsetD8_v2', place, 0, bytes)
  }

  #copyIn(place: Place, values: Numbers): void {
    if (values.length > 0) this.#device.driver.call('cuMemcpyHtoD_v2', place, values, values.byteLength)
  }

  #copyOut({ dtype, length, place }: PlacedBuffer<Place>): Numbers {
    const values = new arrayTypes[dtype](length)
    if (length > 0) this.#device.driver.call('cuMemcpyDtoH_v2', values, place, values.byteLength)
    return values
  }
}
