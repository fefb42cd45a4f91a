/**
 * A device ready to compute: its context, the module of kernels in it, the stream that everything happens on in order, and
 * how a kernel is launched.
 */
import { kernels, type KernelName } from '../../ops/catalog.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { KernelSet } from '../backend.ts'
import type { KernelFunction } from '../calls.ts'
import { Device, type DeviceMemory } from '../device_backend.ts'
import type { Driver } from './driver.ts'
import { kernelIn, MAX_DYNAMIC_SHARED } from './launch.ts'
import type { LoadedKernel } from './launch_memory.ts'
import { kernelFiles } from '../kernel_files.ts'
import { Stream } from './stream.ts'

/** CUfunction_attribute: how much shared memory a launch may have; the default is 48 KiB. */
export const DYNAMIC_SHARED_BYTES = 8
/** CUdevice_attribute: the compute capability, before and after its point. */
export const CAPABILITY_MAJOR = 75
export const CAPABILITY_MINOR = 76
/** CUdevice_attribute: the shared memory that a block may have if it asks for it. */
export const MOST_SHARED = 97
/** What the module is compiled for, at least. */
const OLDEST_CAPABILITY = 8

/** Options of a device. */
export interface DeviceOptions {
  /** Whether launches go as graphs where they can; default true. Results are the same. */
  readonly graphs?: boolean
}

/** A device with the kernels loaded. */
export class CudaDevice extends Device {
  readonly driver: Driver
  /** Its name, its compute capability, and the newest CUDA that the driver has. */
  readonly name: string
  readonly stream: Stream
  readonly #device: number
  readonly #module: number
  /** Bytes of shared memory that a launch may ask for. */
  readonly #shared: number
  #kernels = 0

  /**
   * The first device of a driver.
   * @param backend what it is called in errors
   * @throws MissingError CUDA_DEVICE if there is none, or one too old, CUDA_CALL if a call fails; nothing is held then
   */
  static async open(
    driver: Driver,
    backend: string,
    { graphs = true }: DeviceOptions = {},
  ): Promise<CudaDevice> {
    const image = terminated(await kernelFiles.cuda())
    const device = driver.firstDevice(backend)
    const name = describeDevice(driver, device, backend)
    const shared = Math.min(MAX_DYNAMIC_SHARED, attributeOf(driver, device, MOST_SHARED) - STATIC_SHARED)
    const context = driver.create('cuDevicePrimaryCtxRetain', device)
    let module = 0
    try {
      driver.call('cuCtxSetCurrent', context)
      module = driver.create('cuModuleLoadData', image)
      // The stream comes last: nothing after it can fail.
      return new CudaDevice(driver, device, name, module, shared, new Stream(driver, graphs))
    } catch (error) {
      if (module !== 0) driver.tryCall('cuModuleUnload', module)
      driver.tryCall('cuDevicePrimaryCtxRelease_v2', device)
      throw error
    }
  }

  private constructor(
    driver: Driver,
    device: number,
    name: string,
    module: number,
    shared: number,
    stream: Stream,
  ) {
    super()
    this.driver = driver
    this.#device = device
    this.name = name
    this.#module = module
    this.#shared = shared
    this.stream = stream
  }

  /** Memory; a byte for nothing, because an empty list is not the list that is not there. */
  allocate(bytes: number): number | null {
    return this.stream.allocate(Math.max(1, bytes))
  }

  giveBack(...memory: readonly DeviceMemory[]): void {
    this.stream.giveBack(...memory)
  }

  further(address: number, bytes: number): number {
    return address + bytes
  }

  clear(address: number, bytes: number, isNew: boolean): void {
    this.stream.clear(address, bytes, isNew)
  }

  protected end(): void {
    this.stream.destroy()
    this.driver.tryCall('cuModuleUnload', this.#module)
    this.driver.tryCall('cuDevicePrimaryCtxRelease_v2', this.#device)
  }

  /** The kernel of an op in a set, as a function of device addresses and numbers. */
  kernelOf(name: KernelName, set: KernelSet): KernelFunction<number> {
    const definition = kernels[name]
    const { symbol, launch } = kernelIn(set, name)
    const at = new Map(definition.params.map((param, i) => [param.name, i]))
    let kernel: LoadedKernel | null = null
    return (...args) => {
      const size = (letter: string): number => args[at.get(letter) as number] as number
      const how = launch(size)
      if (how.blocks === 0) return
      if (how.shared > this.#shared)
        throw new MissingError(
          'CUDA_DEVICE',
          `${name}: expected a block of a device that has room for ${how.shared} bytes of attention's weights, got ${this.#shared}; take a shorter context`,
        )
      kernel ??= { definition, handle: this.#functionOf(symbol), id: this.#kernels++ }
      this.stream.launch({ kernel, launch: how, args })
    }
  }

  /** A kernel of the module. It may have as much shared memory as the kernel that needs most. */
  #functionOf(name: string): number {
    const found = this.driver.create(
      'cuModuleGetFunction',
      this.#module,
      terminated(new TextEncoder().encode(name)),
    )
    this.driver.call('cuFuncSetAttribute', found, DYNAMIC_SHARED_BYTES, this.#shared)
    return found
  }
}

/** More than any kernel has of shared memory by itself (the table of cuda/README.md). */
const STATIC_SHARED = 24_576

function attributeOf(driver: Driver, device: number, which: number): number {
  const number = new Int32Array(1)
  driver.call('cuDeviceGetAttribute', number, which, device)
  return number[0]
}

/** What a device is, in words. @throws MissingError CUDA_DEVICE if the kernels cannot run on it */
function describeDevice(driver: Driver, device: number, backend: string): string {
  const bytes = new Uint8Array(256)
  driver.call('cuDeviceGetName', bytes, bytes.length, device)
  const name = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)))
  const number = new Int32Array(1)
  const major = attributeOf(driver, device, CAPABILITY_MAJOR)
  const capability = `${major}.${attributeOf(driver, device, CAPABILITY_MINOR)}`
  if (major < OLDEST_CAPABILITY)
    throw new MissingError(
      'CUDA_DEVICE',
      `backend ${backend}: expected compute capability ${OLDEST_CAPABILITY}.0 or newer, got ${capability} (${name})`,
    )
  driver.call('cuDriverGetVersion', number)
  // 13000 is 13.0, 12040 is 12.4.
  const [version] = number
  const cuda = `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`
  return `${name}, compute capability ${capability}, driver for CUDA ${cuda}`
}

function terminated(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(bytes.length + 1)
  text.set(bytes)
  return text
}
