/**
 * Buffers with a common end: all that a computation allocated is freed in one call, also after an error.
 */
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import type { Backend, Buffer } from './backend.ts'

/** A set of buffers of one backend with a common end. */
export class BufferScope {
  readonly backend: Backend
  readonly #buffers = new Set<Buffer>()

  constructor(backend: Backend) {
    this.backend = backend
  }

  /** Gives `work` a scope, whose buffers are freed whatever comes of it. @returns what `work` does */
  static within<Result>(backend: Backend, work: (scope: BufferScope) => Result): Result {
    const scope = new BufferScope(backend)
    try {
      return work(scope)
    } finally {
      scope.dispose()
    }
  }

  /** Bytes of its buffers. */
  get bytes(): number {
    let bytes = 0
    for (const { dtype, length } of this.#buffers) bytes += arrayTypes[dtype].BYTES_PER_ELEMENT * length
    return bytes
  }

  /** A new buffer that lives as long as the scope; as `Backend.allocate`. */
  allocate(dtype: Dtype, shape: readonly number[], contents?: 'zeros' | 'anything'): Buffer {
    return this.adopt(this.backend.allocate(dtype, shape, contents))
  }

  /** A new buffer holding these numbers that lives as long as the scope; as `Backend.upload`. */
  upload(values: Numbers, shape?: readonly number[], dtype?: Dtype): Buffer {
    return this.adopt(this.backend.upload(values, shape, dtype))
  }

  /** Takes over a buffer. */
  adopt(buffer: Buffer): Buffer {
    this.#buffers.add(buffer)
    return buffer
  }

  /** Lets a buffer go, which outlives the scope. */
  release(buffer: Buffer): void {
    this.#buffers.delete(buffer)
  }

  /** Frees one buffer before the others. */
  free(buffer: Buffer): void {
    if (this.#buffers.delete(buffer)) this.backend.free(buffer)
  }

  /** Frees everything. Safe to call twice. */
  dispose(): void {
    for (const buffer of this.#buffers) this.backend.free(buffer)
    this.#buffers.clear()
  }
}
