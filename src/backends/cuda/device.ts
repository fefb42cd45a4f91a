/**
 * A device ready to compute: its context, the module of kernels in it, and how a kernel is launched.
 *
 * Launches and copies go to the context's default stream, in order; a copy back waits for what was launched before it.
 */
import { opRow, type OpName } from '../../ops/catalog.ts'
import type { Op } from '../../ops/op.ts'
import { readFile } from '../../platform/platform.ts'
import type { Kernel } from '../door.ts'
import type { Driver } from './driver.ts'
import { kernelIn, type KernelSet } from './fast_launch.ts'
import { MOST_DYNAMIC_SHARED } from './launch.ts'

/** The committed module: PTX, which the driver compiles for the device it finds. */
const moduleUrl = new URL('kernels.ptx', import.meta.url)

/** CUfunction_attribute: how much shared memory a launch may ask for; 48 KiB unless more is wanted. */
const DYNAMIC_SHARED_BYTES = 8
/** More arguments than any op has. */
const MOST_ARGUMENTS = 32
const SLOT = 8

/** A device with the kernels loaded. Shared by the backends on it, and given back with the last one. */
export class Device {
  readonly driver: Driver
  readonly name: string
  readonly #device: number
  #users = 0
  #module = 0
  /** Where the arguments of a launch stand: a slot of eight bytes for each, then the list of the slots' addresses. */
  readonly #slots: DataView
  readonly #list: number

  /**
   * The first device of a driver.
   * @param backend what it is called in errors
   * @throws MissingError CUDA_DEVICE if there is none, CUDA_CALL if a call fails
   */
  static async open(driver: Driver, backend: string): Promise<Device> {
    const device = new Device(driver, driver.firstDevice(backend))
    device.#load(await readFile(moduleUrl))
    return device
  }

  private constructor(driver: Driver, device: number) {
    this.driver = driver
    this.#device = device
    const name = new Uint8Array(256)
    driver.call('cuDeviceGetName', name, name.length, this.#device)
    this.name = new TextDecoder().decode(name.subarray(0, name.indexOf(0)))
    const { address, buffer } = driver.reserve(2 * SLOT * MOST_ARGUMENTS)
    this.#slots = new DataView(buffer)
    this.#list = address + SLOT * MOST_ARGUMENTS
    for (let i = 0; i < MOST_ARGUMENTS; i++)
      this.#slots.setBigUint64(SLOT * (MOST_ARGUMENTS + i), BigInt(address + SLOT * i), true)
  }

  #load(image: Uint8Array): void {
    const handle = new BigUint64Array(1)
    this.driver.call('cuDevicePrimaryCtxRetain', handle, this.#device)
    try {
      this.driver.call('cuCtxSetCurrent', Number(handle[0]))
      this.driver.call('cuModuleLoadData', handle, terminated(image))
    } catch (error) {
      this.driver.tryCall('cuDevicePrimaryCtxRelease_v2', this.#device)
      throw error
    }
    this.#module = Number(handle[0])
  }

  /** Another backend uses this device. */
  retain(): void {
    this.#users++
  }

  /** A backend no longer does; the last one gives module and context back. */
  release(): void {
    if (--this.#users > 0) return
    this.driver.tryCall('cuModuleUnload', this.#module)
    this.driver.tryCall('cuDevicePrimaryCtxRelease_v2', this.#device)
  }

  /** The kernel of an op in a set, as a function of device addresses and numbers. */
  kernelOf(name: OpName, set: KernelSet): Kernel<number> {
    const row = opRow(name)
    const { symbol, launch } = kernelIn(set, name)
    const at = new Map(row.params.map((param, i) => [param.name, i]))
    let handle = 0
    return (...args) => {
      const size = (letter: string): number => args[at.get(letter) as number] as number
      const { blocks, threads, shared } = launch(size)
      if (blocks === 0) return
      handle ||= this.#functionOf(symbol)
      this.#place(row, args)
      this.driver.call('cuLaunchKernel', handle, blocks, 1, 1, threads, 1, 1, shared, 0, this.#list, 0)
    }
  }

  /** A kernel of the module, which may ask for as much shared memory as any of them does. */
  #functionOf(name: string): number {
    const handle = new BigUint64Array(1)
    this.driver.call('cuModuleGetFunction', handle, this.#module, terminated(new TextEncoder().encode(name)))
    const found = Number(handle[0])
    this.driver.call('cuFuncSetAttribute', found, DYNAMIC_SHARED_BYTES, MOST_DYNAMIC_SHARED)
    return found
  }

  #place(row: Op, args: readonly (number | null)[]): void {
    row.params.forEach(({ kind }, i) => {
      const value = args[i] ?? 0
      if (kind === 'array') this.#slots.setBigUint64(SLOT * i, BigInt(value), true)
      else if (kind === 'scalar') this.#slots.setFloat32(SLOT * i, value, true)
      else this.#slots.setInt32(SLOT * i, value, true)
    })
  }
}

function terminated(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(bytes.length + 1)
  text.set(bytes)
  return text
}
