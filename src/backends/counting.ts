/**
 * A backend without memory: a call is counted by the catalogue, and nothing is computed. What is read is zeros. So the work of any
 * computation is known without doing it.
 */
import { kernels, opNames } from '../ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../ops/op.ts'
import type { Backend, Buffer, Ops } from './backend.ts'
import { flatCall, type Argument } from './calls.ts'

function bufferOf(dtype: Dtype, shape: readonly number[]): Buffer {
  return { dtype, shape, length: shape.reduce((product, size) => product * size, 1) }
}

/** Counts floating-point operations. */
export class CountingBackend implements Backend {
  readonly name = 'reference'
  readonly liveBuffers = 0
  readonly threads = { threads: 1, calls: [] }
  /** Of all calls so far. */
  flops = 0
  readonly ops = Object.fromEntries(
    opNames.map((op) => [
      op,
      (...args: Argument[]): void => {
        const call = flatCall(op, args)
        const { params, flops } = kernels[call.kernel]
        const sizes = params.flatMap(({ kind, name }, i) => (kind === 'size' ? [[name, call.args[i]]] : []))
        this.flops += flops(Object.fromEntries(sizes) as Record<string, number>)
      },
    ]),
  ) as unknown as Ops

  sibling(): Backend {
    return this
  }

  allocate(dtype: Dtype, shape: readonly number[]): Buffer {
    return bufferOf(dtype, shape)
  }

  upload(values: Numbers, shape: readonly number[] = [values.length], dtype?: Dtype): Buffer {
    return bufferOf(dtype ?? (values instanceof Int32Array ? 'i32' : 'f32'), shape)
  }

  view({ dtype }: Buffer, shape: readonly number[]): Buffer {
    return bufferOf(dtype, shape)
  }

  read({ dtype, length }: Buffer): Numbers {
    return new arrayTypes[dtype](length)
  }

  readAll(buffers: readonly Buffer[]): Numbers[] {
    return buffers.map((buffer) => this.read(buffer))
  }

  readF32({ length }: Buffer): Float32Array {
    return new Float32Array(length)
  }

  readI32({ length }: Buffer): Int32Array {
    return new Int32Array(length)
  }

  write(): void {}
  zero(): void {}
  free(): void {}
  dispose(): void {}
}
