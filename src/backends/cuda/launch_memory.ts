/**
 * Memory with an address, in which launches are written for the driver: cuLaunchKernel takes the address of a list of the
 * arguments' addresses, a node of a graph the address of a structure that has such a list in it.
 *
 * The driver copies all of it during the call, so one place serves all launches.
 */
import type { Kernel } from '../../ops/op.ts'
import type { SteadyMemory } from '../../platform/platform.ts'
import type { Driver } from './driver.ts'
import type { Launch } from './launch.ts'

/** A kernel that was loaded. */
export interface LoadedKernel {
  readonly definition: Kernel
  /** CUfunction. */
  readonly handle: number
  /** Another number for each kernel of a device, from 0 on. */
  readonly id: number
}

/** A requested launch. */
export interface Task {
  readonly kernel: LoadedKernel
  readonly launch: Launch
  /** In the order of the kernel's parameters: device addresses, null where there is no array, and numbers. */
  readonly args: readonly (number | null)[]
}

/**
 * CUDA_KERNEL_NODE_PARAMS_v2 of cuda.h: bytes, and where each field starts. An address takes eight bytes, a number four;
 * the fields that are not written here stay 0, and mean nothing then.
 */
export const nodeParameters = {
  bytes: 72,
  offsets: {
    func: 0,
    gridDimX: 8,
    gridDimY: 12,
    gridDimZ: 16,
    blockDimX: 20,
    blockDimY: 24,
    blockDimZ: 28,
    sharedMemBytes: 32,
    kernelParams: 40,
    extra: 48,
    kern: 56,
    ctx: 64,
  },
} as const

/** More arguments than any op has. */
const MAX_ARGUMENTS = 32
const SLOT = 8
/** The slots of the arguments come first, then the list of their addresses, then the structure. */
const LIST = SLOT * MAX_ARGUMENTS
const NODE = 2 * LIST

/** The place where launches are written. */
export class LaunchMemory {
  readonly #memory: SteadyMemory
  readonly #view: DataView

  constructor(driver: Driver) {
    this.#memory = driver.reserve(NODE + nodeParameters.bytes)
    this.#view = new DataView(this.#memory.buffer)
    const { address, buffer } = this.#memory
    new Uint8Array(buffer).fill(0)
    for (let i = 0; i < MAX_ARGUMENTS; i++) this.#setAddress(LIST + SLOT * i, address + SLOT * i)
  }

  /** Writes the arguments. @returns the address of the list of their addresses */
  placeArguments({ kernel, args }: Task): number {
    kernel.definition.params.forEach(({ kind }, i) => {
      const value = args[i] ?? 0
      if (kind === 'array') this.#setAddress(SLOT * i, value)
      else if (kind === 'scalar') this.#view.setFloat32(SLOT * i, value, true)
      else this.#view.setInt32(SLOT * i, value, true)
    })
    return this.#memory.address + LIST
  }

  /** Writes the launch as the parameters of a node. @returns their address */
  placeNode(task: Task): number {
    const { kernel, launch } = task
    const { offsets } = nodeParameters
    const setNumber = (field: keyof typeof offsets, value: number): void =>
      this.#view.setUint32(NODE + offsets[field], value, true)
    this.#setAddress(NODE + offsets.func, kernel.handle)
    setNumber('gridDimX', launch.blocks)
    setNumber('gridDimY', 1)
    setNumber('gridDimZ', 1)
    setNumber('blockDimX', launch.threads)
    setNumber('blockDimY', 1)
    setNumber('blockDimZ', 1)
    setNumber('sharedMemBytes', launch.shared)
    this.#setAddress(NODE + offsets.kernelParams, this.placeArguments(task))
    return this.#memory.address + NODE
  }

  #setAddress(at: number, address: number): void {
    this.#view.setBigUint64(at, BigInt(address), true)
  }
}
