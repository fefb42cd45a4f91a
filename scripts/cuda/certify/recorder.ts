/**
 * A backend that computes by the definitions and writes down what a device must do to compute the same: which buffers
 * there are, what is put into them, which kernels run, and what must be read of them.
 */
import type { Backend, Buffer as BackendBuffer, Ops, ThreadReport } from '../../../src/backends/backend.ts'
import { kernelIn } from '../../../src/backends/cuda/launch.ts'
import { makeCheckedOps } from '../../../src/backends/checked_ops.ts'
import {
  boundsOf,
  checkFreeable,
  kindOf,
  lengthOf,
  OwnedBuffer,
  ownedBuffer,
} from '../../../src/backends/owned_buffer.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import { arrayTypes, type Dtype, type Numbers } from '../../../src/ops/op.ts'
import { withOneNaN } from '../../../src/parity/op_files.ts'
import type { Argument, Fill, Place, ProgramWriter } from './program.ts'
import type { KernelSet } from './sets.ts'

/** A buffer of the program, and what the definitions have put there. */
interface Recorded extends Place {
  readonly numbers: Numbers
}

/** Computes on arrays, and writes a program. */
export class RecordingBackend implements Backend {
  readonly name
  readonly ops: Ops
  readonly threads: ThreadReport = { threads: 1, calls: [] }
  readonly #program: ProgramWriter
  readonly #set: KernelSet
  readonly #live = new Set<BackendBuffer>()
  #made = 0

  constructor(program: ProgramWriter, set: KernelSet) {
    this.name = set.backend
    this.#program = program
    this.#set = set
    this.ops = makeCheckedOps<Recorded>(
      this,
      (op) =>
        (...args) =>
          this.#run(op, args),
    )
  }

  get liveBuffers(): number {
    return this.#live.size
  }

  sibling(): Backend {
    return new RecordingBackend(this.#program, this.#set)
  }

  allocate(dtype: Dtype, shape: readonly number[], contents: 'zeros' | 'anything' = 'zeros'): BackendBuffer {
    return this.#make(dtype, shape, { kind: contents === 'zeros' ? 'zeros' : 'noise' })
  }

  upload(values: Numbers, shape: readonly number[] = [values.length], dtype?: Dtype): BackendBuffer {
    const buffer = this.#make(kindOf(values, dtype), shape, { kind: 'data', numbers: values })
    buffer.address.numbers.set(values)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: BackendBuffer, values: Numbers, start = 0): void {
    const { dtype, address } = ownedBuffer<Recorded>(this, buffer, 'write')
    address.numbers.set(values, start)
    const at = `@${address.buffer}+${address.start + start}`
    this.#program.line('write', at, values.length, this.#program.store(dtype, values))
  }

  zero(buffer: BackendBuffer): void {
    const { length, address } = ownedBuffer<Recorded>(this, buffer, 'zero')
    address.numbers.fill(0)
    this.#program.line('zero', `@${address.buffer}+${address.start}`, length)
  }

  view(buffer: BackendBuffer, shape: readonly number[], start = 0): BackendBuffer {
    const whole = ownedBuffer<Recorded>(this, buffer, 'view')
    const { buffer: name, start: from, numbers } = whole.address
    const end = start + lengthOf(shape)
    const address = { buffer: name, start: from + start, numbers: numbers.subarray(start, end) }
    return whole.view(shape, start, address)
  }

  read(buffer: BackendBuffer): Numbers {
    const { dtype, address } = ownedBuffer<Recorded>(this, buffer, 'read')
    this.#program.equal(address, dtype, withOneNaN(address.numbers))
    return address.numbers.slice()
  }

  readAll(buffers: readonly BackendBuffer[]): Numbers[] {
    return buffers.map((buffer) => this.read(buffer))
  }

  readF32(buffer: BackendBuffer): Float32Array {
    return this.read(buffer) as Float32Array
  }

  readI32(buffer: BackendBuffer): Int32Array {
    return this.read(buffer) as Int32Array
  }

  free(buffer: BackendBuffer): void {
    const whole = ownedBuffer<Recorded>(this, buffer, 'free')
    checkFreeable(whole)
    whole.freed = true
    this.#live.delete(whole)
    this.#program.line('free', whole.address.buffer)
  }

  dispose(): void {
    this.#live.clear()
  }

  #make(dtype: Dtype, shape: readonly number[], fill: Fill): OwnedBuffer<Recorded> {
    const name = `b${this.#made++}`
    const length = lengthOf(shape)
    this.#program.buffer({ name, dtype, length, fill })
    const address = { buffer: name, start: 0, numbers: new arrayTypes[dtype](length) }
    const buffer = new OwnedBuffer<Recorded>(this, dtype, shape, address, null)
    this.#live.add(buffer)
    return buffer
  }

  #run(op: KernelName, args: readonly (Recorded | number | null)[]): void {
    const row = kernels[op]
    const at = new Map(row.params.map(({ name }, i) => [name, i]))
    const { symbol, launch } = kernelIn(this.#set.ending, op)
    const how = launch((letter) => args[at.get(letter) as number] as number)
    const said = row.params.map(({ kind }, i): Argument => {
      const value = args[i]
      if (typeof value !== 'number') return value
      return kind === 'size' ? { size: value } : { scalar: value }
    })
    this.#program.launch(symbol, how, said)
    const numbers = args.map((value) => (typeof value === 'object' && value ? value.numbers : value))
    row.reference(...(numbers as never[]))
  }
}
