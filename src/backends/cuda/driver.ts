/**
 * The calls of the CUDA driver that this project makes, and what comes of those that fail.
 *
 * The driver is what NVIDIA installs with the card; nothing else of CUDA is needed. The emulator (cuda/emulator) is a
 * library that exports the same calls.
 */
import {
  ForeignError,
  openLibrary,
  PlatformError,
  type ForeignFunctions,
  type ForeignLibrary,
  type SteadyMemory,
} from '../../platform/platform.ts'
import { MissingError } from '../../tensor/errors.ts'

/** Every call with what it takes; all give back a CUresult. Handles and device pointers are u64. */
export const calls = {
  cuInit: ['u32'],
  cuDriverGetVersion: ['memory'],
  cuDeviceGetCount: ['memory'],
  cuDeviceGet: ['memory', 'i32'],
  cuDeviceGetName: ['memory', 'i32', 'i32'],
  cuDeviceGetAttribute: ['memory', 'i32', 'i32'],
  cuDevicePrimaryCtxRetain: ['memory', 'i32'],
  cuDevicePrimaryCtxRelease_v2: ['i32'],
  cuCtxSetCurrent: ['u64'],
  cuModuleLoadData: ['memory', 'memory'],
  cuModuleUnload: ['u64'],
  cuModuleGetFunction: ['memory', 'u64', 'memory'],
  cuFuncSetAttribute: ['u64', 'i32', 'i32'],
  cuMemAlloc_v2: ['memory', 'u64'],
  cuMemFree_v2: ['u64'],
  cuStreamCreate: ['memory', 'u32'],
  cuStreamSynchronize: ['u64'],
  cuStreamDestroy_v2: ['u64'],
  cuMemcpyHtoDAsync_v2: ['u64', 'memory', 'u64', 'u64'],
  cuMemcpyDtoHAsync_v2: ['memory', 'u64', 'u64', 'u64'],
  cuMemsetD8Async: ['u64', 'u32', 'u64', 'u64'],
  // The grid, the block, shared bytes, the stream, the address of the list of arguments' addresses, and nothing.
  cuLaunchKernel: ['u64', 'u32', 'u32', 'u32', 'u32', 'u32', 'u32', 'u32', 'u64', 'u64', 'u64'],
  cuEventCreate: ['memory', 'u32'],
  cuEventRecord: ['u64', 'u64'],
  cuEventElapsedTime: ['memory', 'u64', 'u64'],
  cuEventDestroy_v2: ['u64'],
  cuGraphCreate: ['memory', 'u32'],
  // The new node, the graph, the nodes it comes after and how many they are, the address of CUDA_KERNEL_NODE_PARAMS_v2.
  cuGraphAddKernelNode_v2: ['memory', 'u64', 'memory', 'u64', 'u64'],
  cuGraphInstantiateWithFlags: ['memory', 'u64', 'u64'],
  cuGraphExecKernelNodeSetParams_v2: ['u64', 'u64', 'u64'],
  cuGraphLaunch: ['u64', 'u64'],
  cuGraphExecDestroy: ['u64'],
  cuGraphDestroy: ['u64'],
  cuGetErrorName: ['i32', 'memory'],
  cuGetErrorString: ['i32', 'memory'],
} as const

type Calls = ForeignFunctions<typeof calls>

/** The name of a call. */
export type CallName = Exclude<keyof Calls, 'cuGetErrorName' | 'cuGetErrorString'>

type Rest<List extends readonly unknown[]> = List extends readonly [unknown, ...infer Others] ? Others : never

/** The calls that make something and give its handle. */
type CreatingCall =
  | 'cuDevicePrimaryCtxRetain'
  | 'cuModuleLoadData'
  | 'cuModuleGetFunction'
  | 'cuStreamCreate'
  | 'cuEventCreate'
  | 'cuGraphCreate'
  | 'cuGraphAddKernelNode_v2'
  | 'cuGraphInstantiateWithFlags'

/** CUresult: CUDA_ERROR_OUT_OF_MEMORY. */
export const OUT_OF_MEMORY = 2
/** CUresult: CUDA_ERROR_NO_DEVICE. */
export const NO_DEVICE = 100

/** A driver that is loaded. */
export class Driver {
  readonly #library: ForeignLibrary<typeof calls>
  /** The error of the first call that failed. What was computed then is unknown, so all later calls throw it. */
  #failure: MissingError | null = null

  private constructor(library: ForeignLibrary<typeof calls>) {
    this.#library = library
  }

  /**
   * Loads a driver.
   * @param path what the system's loader takes, a name or a path
   * @param missing what to say where it is not here, before the reason
   * @throws MissingError CUDA_DRIVER if it cannot be loaded
   */
  static async open(path: string, missing: string): Promise<Driver> {
    try {
      return new Driver(openLibrary(path, calls))
    } catch (error) {
      if (!(error instanceof ForeignError || error instanceof PlatformError)) throw error
      const isPackage = error instanceof ForeignError && error.isPackage
      const got = isPackage ? 'none that can be opened' : 'none'
      throw new MissingError('CUDA_DRIVER', `${missing}, got ${got}: ${error.message}`, { cause: error })
    }
  }

  /** Whether a call has failed, other than for want of memory. */
  get hasFailed(): boolean {
    return this.#failure !== null
  }

  /** Memory with a fixed address, for calls that take one. */
  reserve(bytes: number): SteadyMemory {
    return this.#library.reserve(bytes)
  }

  /**
   * Starts the driver, which every other call needs, and gives the first device, as other calls name it.
   * @param backend what it is called in errors
   * @throws MissingError CUDA_DEVICE if there is none, CUDA_CALL if a call fails
   */
  firstDevice(backend: string): number {
    const started = this.#run('cuInit', [0])
    if (started !== 0 && started !== NO_DEVICE) throw (this.#failure = this.#failed('cuInit', started))
    const number = new Int32Array(1)
    if (started === 0) this.call('cuDeviceGetCount', number)
    if (number[0] === 0)
      throw new MissingError('CUDA_DEVICE', `backend ${backend}: expected a CUDA device, got none`)
    this.call('cuDeviceGet', number, 0)
    return number[0]
  }

  /** @throws MissingError CUDA_CALL, what the first call that failed said, if one has */
  expectWorking(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** Makes a call. @throws MissingError CUDA_CALL, naming it and what it said, or the one that failed before. */
  call<Name extends CallName>(name: Name, ...args: Parameters<Calls[Name]>): void {
    this.expectWorking()
    const result = this.#run(name, args)
    if (result !== 0) throw (this.#failure = this.#failed(name, result))
  }

  /** Makes a call that is there to give something back, where nothing can be done if it fails. */
  tryCall<Name extends CallName>(name: Name, ...args: Parameters<Calls[Name]>): void {
    this.#run(name, args)
  }

  /** Makes a call whose first argument is where it puts a handle. @throws MissingError as `call` does */
  create<Name extends CreatingCall>(name: Name, ...args: Rest<Parameters<Calls[Name]>>): number {
    const handle = new BigUint64Array(1)
    this.call(name, ...([handle, ...args] as unknown as Parameters<Calls[Name]>))
    return Number(handle[0])
  }

  /** Takes device memory; null if there is not enough. @throws MissingError CUDA_CALL for any other reason. */
  allocate(bytes: number): number | null {
    this.expectWorking()
    const address = new BigUint64Array(1)
    const result = this.#run('cuMemAlloc_v2', [address, bytes])
    if (result === OUT_OF_MEMORY) return null
    if (result !== 0) throw (this.#failure = this.#failed('cuMemAlloc_v2', result))
    return Number(address[0])
  }

  #run<Name extends CallName>(name: Name, args: Parameters<Calls[Name]>): number {
    return (this.#library.functions[name] as (...args: Parameters<Calls[Name]>) => number)(...args)
  }

  #failed(name: CallName, result: number): MissingError {
    const what = `${this.#said('cuGetErrorName', result)} (${this.#said('cuGetErrorString', result)})`
    return new MissingError('CUDA_CALL', `${name}: expected CUDA_SUCCESS, got ${what}`)
  }

  #said(call: 'cuGetErrorName' | 'cuGetErrorString', result: number): string {
    const address = new BigUint64Array(1)
    const known = this.#library.functions[call](result, address) === 0 && address[0] !== 0n
    return known ? this.#library.text(Number(address[0])) : String(result)
  }
}
