/**
 * A backend that computes by the definitions and writes down what a device must do to compute the same: which buffers
 * there are, what is put into them, which kernels run, and what must be read of them.
 */
import type { Backend, Buffer as BackendBuffer, Ops, ThreadReport } from '../../../src/backends/backend.ts'
import { kernelIn } from '../../../src/backends/cuda/fast_launch.ts'
import {
  boundsOf,
  checkFreeable,
  kindOf,
  openDoor,
  placed,
  PlacedBuffer,
} from '../../../src/backends/checked_ops.ts'
import { opRow, type OpName } from '../../../src/ops/catalog.ts'
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
    this.ops = openDoor<Recorded>(
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

  allocate(dtype: Dtype, length: number, contents: 'zeros' | 'anything' = 'zeros'): BackendBuffer {
    return this.#make(dtype, length, { kind: contents === 'zeros' ? 'zeros' : 'noise' })
  }

  upload(values: Numbers, dtype?: Dtype): BackendBuffer {
    const buffer = this.#make(kindOf(values, dtype), values.length, { kind: 'data', numbers: values })
    buffer.place.numbers.set(values)
    if (values instanceof Int32Array) buffer.bounds = boundsOf(values)
    return buffer
  }

  write(buffer: BackendBuffer, values: Numbers, start = 0): void {
    const { dtype, place } = placed<Recorded>(this, buffer, 'write')
    place.numbers.set(values, start)
    const at = `@${place.buffer}+${place.start + start}`
    this.#program.line('write', at, values.length, this.#program.store(dtype, values))
  }

  zero(buffer: BackendBuffer): void {
    const { length, place } = placed<Recorded>(this, buffer, 'zero')
    place.numbers.fill(0)
    this.#program.line('zero', `@${place.buffer}+${place.start}`, length)
  }

  slice(buffer: BackendBuffer, start: number, length: number): BackendBuffer {
    const whole = placed<Recorded>(this, buffer, 'slice')
    const { buffer: name, start: from, numbers } = whole.place
    const place = { buffer: name, start: from + start, numbers: numbers.subarray(start, start + length) }
    return whole.view(start, length, place)
  }

  read(buffer: BackendBuffer): Numbers {
    const { dtype, place } = placed<Recorded>(this, buffer, 'read')
    this.#program.equal(place, dtype, withOneNaN(place.numbers))
    return place.numbers.slice()
  }

  readF32(buffer: BackendBuffer): Float32Array {
    return this.read(buffer) as Float32Array
  }

  readI32(buffer: BackendBuffer): Int32Array {
    return this.read(buffer) as Int32Array
  }

  free(buffer: BackendBuffer): void {
    const whole = placed<Recorded>(this, buffer, 'free')
    checkFreeable(whole)
    whole.freed = true
    this.#live.delete(whole)
    this.#program.line('free', whole.place.buffer)
  }

  dispose(): void {
    this.#live.clear()
  }

  #make(dtype: Dtype, length: number, fill: Fill): PlacedBuffer<Recorded> {
    const name = `b${this.#made++}`
    this.#program.buffer({ name, dtype, length, fill })
    const place = { buffer: name, start: 0, numbers: new arrayTypes[dtype](length) }
    const buffer = new PlacedBuffer<Recorded>(this, dtype, length, place, null)
    this.#live.add(buffer)
    return buffer
  }

  #run(op: OpName, args: readonly (Recorded | number | null)[]): void {
    const row = opRow(op)
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
