/**
 * How long a device computes, by its own clock: the time between an event before the first launch after an idle moment and an event
 * after the last launch before the host waits. Pauses between launches are included.
 */
import type { Driver } from './driver.ts'

/** CU_EVENT_DEFAULT: an event that takes the time. */
export const TAKES_TIME = 0

/** Two events. The first `lap` creates them; nothing is measured before it. */
export class Stopwatch {
  readonly #driver: Driver
  readonly #stream: number
  #events: { readonly start: number; readonly stop: number } | null = null
  #state: 'idle' | 'running' | 'stopped' = 'idle'
  /** Milliseconds since the last `lap`. */
  #total = 0

  constructor(driver: Driver, stream: number) {
    this.#driver = driver
    this.#stream = stream
  }

  /** Before a launch. @throws MissingError CUDA_CALL */
  start(): void {
    if (this.#events === null || this.#state === 'running') return
    // What comes after a stop before it was read goes on from the first start.
    if (this.#state === 'idle') this.#driver.call('cuEventRecord', this.#events.start, this.#stream)
    this.#state = 'running'
  }

  /** After the last launch. @throws MissingError CUDA_CALL */
  stop(): void {
    if (this.#events === null || this.#state !== 'running') return
    this.#driver.call('cuEventRecord', this.#events.stop, this.#stream)
    this.#state = 'stopped'
  }

  /** Call it after waiting for the last launch. @throws MissingError CUDA_CALL */
  read(): void {
    if (this.#events === null || this.#state !== 'stopped') return
    const milliseconds = new Float32Array(1)
    this.#driver.call('cuEventElapsedTime', milliseconds, this.#events.start, this.#events.stop)
    this.#total += milliseconds[0]
    this.#state = 'idle'
  }

  /** Milliseconds since the last lap. Call it while nothing is running. @throws MissingError CUDA_CALL */
  lap(): number {
    this.#events ??= this.#create()
    const total = this.#total
    this.#total = 0
    return total
  }

  /** Destroys the events; ignores the errors of a driver that is shutting down. */
  destroy(): void {
    if (this.#events === null) return
    for (const event of Object.values(this.#events)) this.#driver.tryCall('cuEventDestroy_v2', event)
    this.#events = null
  }

  #create(): { start: number; stop: number } {
    const start = this.#driver.create('cuEventCreate', TAKES_TIME)
    try {
      return { start, stop: this.#driver.create('cuEventCreate', TAKES_TIME) }
    } catch (error) {
      this.#driver.tryCall('cuEventDestroy_v2', start)
      throw error
    }
  }
}
