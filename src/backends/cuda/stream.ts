/**
 * The one stream of a device: all work happens on it in order, and only `read` waits.
 *
 * Launches are held back until as many have come as one graph has, or their results are needed: then they are submitted
 * together (graphs.ts). What is written to memory that they use comes after them; memory that is given back is so once the
 * device is idle, for work may still use it.
 */
import type { Numbers } from '../../ops/op.ts'
import type { DeviceMemory } from '../device_backend.ts'
import type { SteadyMemory } from '../../platform/platform.ts'
import type { Driver } from './driver.ts'
import { Graphs, MAX_NODES, type GraphCounts } from './graphs.ts'
import { LaunchMemory, type Task } from './launch_memory.ts'
import { Stopwatch } from './stopwatch.ts'

/** CU_STREAM_NON_BLOCKING: it does not wait for the default stream, on which nothing is done. */
export const NON_BLOCKING = 1

/** Bytes that may be under way to the device at once; what is larger is waited for. */
const STAGED_BYTES = 2 ** 18
/** Bytes that may wait to be given back. */
const MAX_LEFT_BYTES = 2 ** 26

/** A stream, and what is on its way to it. */
export class Stream {
  readonly #driver: Driver
  readonly #handle: number
  readonly #memory: LaunchMemory
  readonly #graphs: Graphs | null
  readonly #stopwatch: Stopwatch
  /** Launches that were held back. */
  #held: Task[] = []
  /** Whether the device has work that has not been waited for. */
  #isBusy = false
  #left: DeviceMemory[] = []
  #leftBytes = 0
  /** Where numbers on their way to the device stand, which their owner may change meanwhile. */
  #staging: SteadyMemory | null = null
  #staged = 0
  /** Memory of the host that the device may still read or write: it must not be collected, also after a call has failed. */
  #host: ArrayBufferView[] = []

  /** @param withGraphs whether launches go as graphs where they can @throws MissingError CUDA_CALL */
  constructor(driver: Driver, withGraphs: boolean) {
    this.#driver = driver
    this.#memory = new LaunchMemory(driver)
    this.#graphs = withGraphs ? new Graphs(driver, this.#memory) : null
    this.#handle = driver.create('cuStreamCreate', NON_BLOCKING)
    this.#stopwatch = new Stopwatch(driver, this.#handle)
  }

  /** What was done by graphs; null without them. */
  get graphCounts(): GraphCounts | null {
    return this.#graphs?.counts ?? null
  }

  /** Launches a kernel, now or with those that come after it. @throws MissingError CUDA_CALL */
  launch(task: Task): void {
    this.#driver.expectWorking()
    this.#held.push(task)
    if (this.#held.length === MAX_NODES) this.#submit()
  }

  /**
   * Copies numbers to the device. They are the caller's again at once.
   * @param isNew whether no launch uses this memory
   * @throws MissingError CUDA_CALL
   */
  copyIn(address: number, values: Numbers, isNew: boolean): void {
    if (values.length === 0) return
    if (!isNew) this.#submit()
    const bytes = values.byteLength
    if (bytes > STAGED_BYTES) {
      this.#copy(address, values)
      this.wait()
      return
    }
    if (this.#staged + bytes > STAGED_BYTES) this.wait()
    this.#staging ??= this.#driver.reserve(STAGED_BYTES)
    const copy = new Uint8Array(this.#staging.buffer, this.#staged, bytes)
    copy.set(new Uint8Array(values.buffer, values.byteOffset, bytes))
    this.#staged += bytes
    this.#copy(address, copy)
  }

  /** Sets bytes to 0. @param isNew as in `copyIn` @throws MissingError CUDA_CALL */
  clear(address: number, bytes: number, isNew: boolean): void {
    if (bytes === 0) return
    if (!isNew) this.#submit()
    this.#isBusy = true
    this.#driver.call('cuMemsetD8Async', address, 0, bytes, this.#handle)
  }

  /** Copies numbers from the device, when everything before has been done. @throws MissingError CUDA_CALL */
  copyOut(values: Numbers, address: number): void {
    if (values.length > 0) {
      this.#submit()
      this.#stopwatch.stop()
      this.#isBusy = true
      this.#host.push(values)
      this.#driver.call('cuMemcpyDtoHAsync_v2', values, address, values.byteLength, this.#handle)
    }
    this.wait()
  }

  /** Waits until everything has been done, and gives back what was left. @throws MissingError CUDA_CALL */
  wait(): void {
    this.#submit()
    if (this.#isBusy) {
      this.#stopwatch.stop()
      this.#driver.call('cuStreamSynchronize', this.#handle)
      this.#isBusy = false
      this.#host = []
      this.#staged = 0
      this.#stopwatch.read()
    }
    this.#giveBackLeft()
  }

  /** Takes device memory; null if there is not enough, even when all is given back. @throws MissingError CUDA_CALL */
  allocate(bytes: number): number | null {
    const address = this.#driver.allocate(bytes)
    if (address !== null || this.#left.length === 0) return address
    this.wait()
    return this.#driver.allocate(bytes)
  }

  /** Gives device memory back, once nothing can use it any more. @throws MissingError CUDA_CALL */
  giveBack(...memory: readonly DeviceMemory[]): void {
    this.#left.push(...memory)
    for (const { bytes } of memory) this.#leftBytes += bytes
    // After a failure what was held back is never launched.
    if (this.#driver.hasFailed || (!this.#isBusy && this.#held.length === 0)) this.#giveBackLeft()
    else if (this.#leftBytes > MAX_LEFT_BYTES) this.wait()
  }

  /** Milliseconds that kernels took since the last call, by the device's clock, which runs from the first call on. */
  deviceTime(): number {
    this.wait()
    return this.#stopwatch.lap()
  }

  /** Gives everything back, as far as the driver still does that. Work that has not been waited for may never be done. */
  destroy(): void {
    this.#held = []
    this.#driver.tryCall('cuStreamSynchronize', this.#handle)
    for (const { address } of this.#left) this.#driver.tryCall('cuMemFree_v2', address)
    this.#left = []
    this.#leftBytes = 0
    this.#graphs?.destroy()
    this.#stopwatch.destroy()
    this.#driver.tryCall('cuStreamDestroy_v2', this.#handle)
    this.#host = []
  }

  #copy(address: number, bytes: ArrayBufferView): void {
    this.#isBusy = true
    this.#host.push(bytes)
    this.#driver.call('cuMemcpyHtoDAsync_v2', address, bytes, bytes.byteLength, this.#handle)
  }

  /** Hands the driver the launches that were held back. */
  #submit(): void {
    if (this.#held.length === 0) return
    const tasks = this.#held
    this.#held = []
    this.#driver.expectWorking()
    this.#isBusy = true
    this.#stopwatch.start()
    if (this.#graphs?.run(tasks, this.#handle)) return
    for (const task of tasks) {
      const list = this.#memory.placeArguments(task)
      const { blocks, threads, shared } = task.launch
      const grid = [blocks, 1, 1, threads, 1, 1, shared] as const
      this.#driver.call('cuLaunchKernel', task.kernel.handle, ...grid, this.#handle, list, 0)
    }
  }

  /** All of it, whatever becomes of a part. */
  #giveBackLeft(): void {
    const left = this.#left
    this.#left = []
    this.#leftBytes = 0
    // Only after a failure is there still something under way.
    if (this.#isBusy) this.#driver.tryCall('cuStreamSynchronize', this.#handle)
    this.#isBusy = false
    let failure: unknown = null
    for (const { address } of left)
      try {
        if (this.#driver.hasFailed) this.#driver.tryCall('cuMemFree_v2', address)
        else this.#driver.call('cuMemFree_v2', address)
      } catch (error) {
        failure = error
      }
    if (failure !== null) throw failure
  }
}
