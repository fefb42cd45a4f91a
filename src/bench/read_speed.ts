/**
 * How fast this machine reads memory: the roof over decoding.
 *
 * One thread goes forward through far more than any cache holds, by the lightest of the wasm kernels: `sum`, which does
 * with what it reads nothing but one addition (`npm run bench -- roofline` sets it beside loops made for the purpose).
 * Several streams at a time can read faster than one, and so a kernel may pass this mark.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { createBackend } from '../backends/select.ts'
import { now } from '../platform/platform.ts'
import { median } from '../results/interleaved_rounds.ts'

/** Several times the largest cache. */
const READ_BYTES = 240 * 2 ** 20

/** Readings of one turn. */
const READINGS = 7

/** The yardstick. It has a memory of its own, apart from that of any model. Dispose it. */
export class ReadSpeed {
  readonly #backend: Backend
  readonly #numbers: Buffer
  readonly #total: Buffer

  /**
   * @param bytes how much is read at a time
   * @throws MissingError BACKEND_MISSING, BACKEND_MEMORY
   */
  static async open(bytes: number = READ_BYTES): Promise<ReadSpeed> {
    const backend = await createBackend('wasm')
    try {
      return new ReadSpeed(backend, bytes)
    } catch (error) {
      backend.dispose()
      throw error
    }
  }

  private constructor(backend: Backend, bytes: number) {
    this.#backend = backend
    this.#numbers = backend.allocate('f32', [bytes / 4])
    this.#total = backend.allocate('f32', [1])
  }

  /** One turn: bytes per second, the median of a few readings. */
  measure(): number {
    const { length } = this.#numbers
    const read = (): number => {
      const start = now()
      this.#backend.ops.sum(this.#total, this.#numbers)
      return (4000 * length) / (now() - start)
    }
    return median(Array.from({ length: READINGS }, read))
  }

  dispose(): void {
    this.#backend.dispose()
  }
}
