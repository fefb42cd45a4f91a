/**
 * The CUDA backends: every op as a kernel of cuda/. `cuda` runs those that are equal to the reference bit for bit, on an
 * NVIDIA GPU; `cuda-fast` those that trade bits for speed within the bounds of the catalogue, where there is one. The
 * emulated ones run the same sources on the processor, thread by thread, so that they are tested where there is no GPU.
 *
 * A buffer is an address of device memory. Calls are queued in order (stream.ts), and reading waits for them; so the failure
 * of a kernel is reported by a later call. From then on every call throws the same error, because the content of buffers
 * is unknown.
 */
import { arrayTypes, type Dtype, type Numbers } from '../../ops/op.ts'
import { pathOfUrl, runtime } from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { Backend, BackendName, BackendOptions } from '../backend.ts'
import { CheckedBackend, checkOneThread } from '../checked_backend.ts'
import type { OwnedBuffer } from '../owned_buffer.ts'
import { Device, type DeviceOptions } from './device.ts'
import { Driver } from './driver.ts'
import type { KernelSet } from './fast_launch.ts'
import type { GraphCounts } from './graphs.ts'
import type { DeviceMemory, Stream } from './stream.ts'

/** The backends of this file: what runs their kernels, and which. */
const kinds = {
  cuda: { isEmulated: false, set: 'exact' },
  'cuda-fast': { isEmulated: false, set: 'fast' },
  'cuda-emulated': { isEmulated: true, set: 'exact' },
  'cuda-fast-emulated': { isEmulated: true, set: 'fast' },
} as const satisfies Partial<Record<BackendName, { isEmulated: boolean; set: KernelSet }>>

/** The names of the backends of this file. */
export type CudaName = keyof typeof kinds

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
    `backend ${name}: expected the emulator that "npm run build:cuda-emulator" makes in a checkout`,
  )
}

/** Runs every op as its CUDA kernel. */
export class CudaBackend extends CheckedBackend<number> {
  readonly name: CudaName
  readonly #device: Device

  /**
   * Starts a backend on the first device.
   * @throws MissingError CUDA_DRIVER, CUDA_DEVICE, CUDA_CALL for what is not here or does not work; UsageError THREADS
   */
  static async create(name: CudaName, options: BackendOptions = {}): Promise<CudaBackend> {
    checkOneThread(name, options)
    return CudaBackend.on(await openDriver(name), name, options)
  }

  /** On the first device of a driver. @throws MissingError as `create` does */
  static async on(driver: Driver, name: CudaName, options: DeviceOptions = {}): Promise<CudaBackend> {
    return new CudaBackend(await Device.open(driver, name, options), name)
  }

  private constructor(device: Device, name: CudaName) {
    super((op) => device.kernelOf(op, kinds[name].set))
    this.name = name
    this.#device = device
    device.retain()
  }

  get device(): string {
    return this.#device.name
  }

  /** What was done by graphs on this device, by all backends on it; null without them. */
  get graphCounts(): GraphCounts | null {
    return this.#stream.graphCounts
  }

  deviceTime(): number {
    this.expectLive()
    return this.#stream.deviceTime()
  }

  sibling(): Backend {
    this.expectLive()
    return new CudaBackend(this.#device, this.name)
  }

  /** Device memory; a byte for no numbers, because an empty list is not the list that is not there. */
  protected reserve(dtype: Dtype, length: number): number {
    const bytes = arrayTypes[dtype].BYTES_PER_ELEMENT * length
    const address = this.#stream.allocate(Math.max(1, bytes))
    if (address === null)
      throw new MissingError(
        'BACKEND_MEMORY',
        `backend ${this.name}: expected room for ${bytes} more bytes, got too little on ${this.#device.name}`,
      )
    return address
  }

  protected release(buffer: OwnedBuffer<number>): void {
    this.#stream.giveBack(memoryOf(buffer))
  }

  protected addressIn({ dtype, address }: OwnedBuffer<number>, start: number): number {
    return address + arrayTypes[dtype].BYTES_PER_ELEMENT * start
  }

  protected clear(buffer: OwnedBuffer<number>, isNew: boolean): void {
    const { address, bytes } = memoryOf(buffer)
    this.#stream.clear(address, bytes, isNew)
  }

  protected copyIn({ address }: OwnedBuffer<number>, values: Numbers, start: number, isNew: boolean): void {
    this.#stream.copyIn(address + start * values.BYTES_PER_ELEMENT, values, isNew)
  }

  protected copyOut({ dtype, length, address }: OwnedBuffer<number>): Numbers {
    const values = new arrayTypes[dtype](length)
    this.#stream.copyOut(values, address)
    return values
  }

  protected shutDown(buffers: readonly OwnedBuffer<number>[]): void {
    try {
      this.#stream.giveBack(...buffers.map(memoryOf))
      // Launches may still use the buffers. After a failure waiting fails too, and the first error was thrown.
      if (!this.#device.driver.hasFailed) this.#stream.wait()
    } finally {
      this.#device.release()
    }
  }

  get #stream(): Stream {
    return this.#device.stream
  }
}

function memoryOf({ dtype, length, address }: OwnedBuffer<number>): DeviceMemory {
  return { address, bytes: arrayTypes[dtype].BYTES_PER_ELEMENT * length }
}
