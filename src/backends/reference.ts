/**
 * The reference backend: the functions of src/ops on plain typed arrays. It is the definition the others are held to,
 * and makes no attempt to be fast.
 */
import { opRow } from '../ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import type { Backend, BackendOptions } from './backend.ts'
import { CheckedBackend } from './checked_backend.ts'
import { checkOneThread, type Kernel, type PlacedBuffer } from './checked_ops.ts'

/** A byte of numbers that nobody wrote: floats of such are NaN. */
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
    super((name) => opRow(name).reference as Kernel<Numbers>)
  }

  sibling(): Backend {
    this.expectLive()
    return new ReferenceBackend()
  }

  protected reserve(dtype: Dtype, length: number): Numbers {
    const numbers = new arrayTypes[dtype](length)
    // What was never written shows.
    new Uint8Array(numbers.buffer).fill(NOISE)
    return numbers
  }

  protected release(): void {}

  protected addressIn({ place }: PlacedBuffer<Numbers>, start: number, length: number): Numbers {
    return place.subarray(start, start + length)
  }

  protected clear({ place }: PlacedBuffer<Numbers>): void {
    place.fill(0)
  }

  protected copyIn({ place }: PlacedBuffer<Numbers>, values: Numbers, start: number): void {
    place.set(values, start)
  }

  protected copyOut({ place }: PlacedBuffer<Numbers>): Numbers {
    return place.slice()
  }

  protected shutDown(): void {}
}
