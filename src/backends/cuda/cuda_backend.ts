/**
 * The CUDA backends: every op as a kernel of cuda/. `cuda` runs those that are equal to the reference bit for bit, on an
 * NVIDIA GPU; `cuda-fast` those that trade bits for speed within the bounds of the catalogue, where there is one. The
 * emulated ones run the same sources on the processor, thread by thread, so that they are tested where there is no GPU.
 */
import { arrayTypes, type Numbers } from '../../ops/op.ts'
import { pathOfUrl, runtime } from '../../platform/platform.ts'
import { kernelSet, type Backend, type BackendName, type BackendOptions } from '../backend.ts'
import { checkOneThread } from '../checked_backend.ts'
import { DeviceBackend } from '../device_backend.ts'
import type { OwnedBuffer } from '../owned_buffer.ts'
import { CudaDevice, type DeviceOptions } from './device.ts'
import { Driver } from './driver.ts'
import type { GraphCounts } from './graphs.ts'
import type { Stream } from './stream.ts'

/** The names of the backends of this file. */
export type CudaName = Extract<BackendName, `cuda${string}`>

/** Where `npm run build:cuda-emulator` puts its library. */
const emulatorUrl: URL = new URL('../../../cuda/build/libcuda_emulated.so', import.meta.url)

function openDriver(name: CudaName): Promise<Driver> {
  if (!name.endsWith('emulated')) {
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
export class CudaBackend extends DeviceBackend<CudaDevice> {
  readonly name: CudaName

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
    return new CudaBackend(await CudaDevice.open(driver, name, options), name)
  }

  private constructor(device: CudaDevice, name: CudaName) {
    super(device, (op) => device.kernelOf(op, kernelSet(name)))
    this.name = name
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
    return new CudaBackend(this.on, this.name)
  }

  protected copyIn(buffer: OwnedBuffer<number>, values: Numbers, start: number, isNew: boolean): void {
    this.#stream.copyIn(this.addressIn(buffer, start), values, isNew)
  }

  protected copyOut({ dtype, length, address }: OwnedBuffer<number>): Numbers {
    const values = new arrayTypes[dtype](length)
    this.#stream.copyOut(values, address)
    return values
  }

  protected override shutDown(buffers: readonly OwnedBuffer<number>[]): void {
    try {
      // Launches may still use the buffers. After a failure waiting fails too, and the first error was thrown.
      if (!this.on.driver.hasFailed) this.#stream.wait()
    } finally {
      super.shutDown(buffers)
    }
  }

  get #stream(): Stream {
    return this.on.stream
  }
}
