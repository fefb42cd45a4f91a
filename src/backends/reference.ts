/**
 * The reference backend: the functions of src/ops on plain typed arrays. It is the definition the others are held to,
 * and makes no attempt to be fast.
 */
import { kernels } from '../ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import type { Backend, BackendOptions } from './backend.ts'
import { CheckedBackend, checkOneThread } from './checked_backend.ts'
import type { KernelFunction } from './calls.ts'
import type { OwnedBuffer } from './owned_buffer.ts'

/** The byte that fills new memory: floats of such bytes are NaN, so that a read before the first write shows. */
const NOISE = 0xff

/** Runs every op as its TypeScript definition. */
export class ReferenceBackend extends CheckedBackend<Numbers> {
  readonly name = 'reference'

  /** Starts one. @throws UsageError THREADS for more than one thread */
  static create(options: BackendOptions = {}): ReferenceBackend {
    checkOneThread('reference', options)
    return new ReferenceBackend()
  }

  constructor() {
    super((name) => kernels[name].reference as KernelFunction<Numbers>)
  }

  sibling(): Backend {
    this.expectLive()
    return new ReferenceBackend()
  }

  protected reserve(dtype: Dtype, length: number): Numbers {
    const numbers = new arrayTypes[dtype](length)
    new Uint8Array(numbers.buffer).fill(NOISE)
    return numbers
  }

  protected release(): void {}

  protected addressIn({ address }: OwnedBuffer<Numbers>, start: number, length: number): Numbers {
    return address.subarray(start, start + length)
  }

  protected clear({ address }: OwnedBuffer<Numbers>): void {
    address.fill(0)
  }

  protected copyIn({ address }: OwnedBuffer<Numbers>, values: Numbers, start: number): void {
    address.set(values, start)
  }

  protected copyOut({ address }: OwnedBuffer<Numbers>): Numbers {
    return address.slice()
  }

  protected shutDown(): void {}
}
