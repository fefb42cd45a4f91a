/**
 * The scratch of one sequence: the slots that the values of a pass lie in, the same for every layer and every token. They grow to
 * the longest pass so far and are then reused, so that decoding allocates nothing here. What a pass is given are views of as many
 * rows as it has tokens, and as wide as its units are; they are kept while these stay as they are.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { recorderOf, type Recording } from '../backends/recorder.ts'
import type { Instruction } from './active_layer.ts'
import type { Plan, Section } from './plan.ts'
import type { Value } from '../spec/program.ts'
import type { Frame } from './run_step.ts'
import { remembered } from '../tensor/records.ts'

/** Logits computed at a time, in numbers: bounds the buffer when every position of a long prompt is wanted. */
const LOGITS_AT_ONCE = 2 ** 20

/** Views for a section. */
interface Views {
  readonly T: number
  /** Of the results of its steps. */
  readonly widths: readonly number[]
  readonly frame: Frame
  /** By the first step of a stretch: the instructions that ran last, and what was recorded of them. */
  readonly stretches: Stretch[]
}

/** Steps of one token, recorded when they run the second time. */
interface Stretch {
  readonly instructions: readonly Instruction[]
  recording: Recording | null
}

/** Scratch buffers that grow on demand. */
export class RunState {
  readonly #backend: Backend
  readonly #scope: BufferScope
  readonly #plan: Plan
  #rows = 0
  #slots: Buffer[] = []
  readonly #views = new Map<Section, Views>()
  #logits: Buffer | null = null
  /** By how many there are. */
  readonly #factors = new Map<number, Buffer>()
  #masked: Buffer | null = null

  constructor(backend: Backend, plan: Plan) {
    this.#backend = backend
    this.#scope = new BufferScope(backend)
    this.#plan = plan
  }

  /** Where the values of a section lie in a pass of T tokens. The caller places what has no slot. */
  frame(section: Section, T: number, instructions: readonly Instruction[]): Frame {
    if (T > this.#rows) this.#grow(T)
    const last = this.#views.get(section)
    if (last?.T === T && instructions.every(({ width }, i) => width === last.widths[i])) return last.frame
    const widths = instructions.map(({ width }) => width)
    const frame = section.slots.map((slot, place) => {
      if (slot === null) return NOTHING
      return place === 0
        ? this.entering(section, T)
        : this.#backend.view(this.#slots[slot], [T, widths[place - 1]])
    })
    this.#views.set(section, { T, widths, frame, stretches: [] })
    return frame
  }

  /** Runs a stretch of a section for one token, whose frame was asked for. @param body runs its steps */
  stretch(section: Section, first: number, instructions: readonly Instruction[], body: () => void): void {
    const { stretches } = this.#views.get(section) as Views
    const known = stretches[first] as Stretch | undefined
    if (known?.instructions !== instructions) stretches[first] = { instructions, recording: null }
    else if (known.recording?.run()) return
    else {
      const recorder = recorderOf(this.#backend.ops)
      if (recorder) {
        known.recording = recorder.record(body)
        return
      }
    }
    body()
  }

  /** Where the stream lies that enters a section: [T, D]. */
  entering({ entering, slots }: Section, T: number): Buffer {
    if (T > this.#rows) this.#grow(T)
    return this.#backend.view(this.#slots[slots[0] as number], [T, (entering as Value).width])
  }

  /** How many rows of logits are computed at a time. */
  get logitsRows(): number {
    return Math.max(1, Math.min(this.#rows, Math.floor(LOGITS_AT_ONCE / this.#plan.program.width)))
  }

  /** Room for `rows` rows of logits, at most `logitsRows`: [rows, V]. */
  logits(rows: number): Buffer {
    const shape = [rows, this.#plan.program.width]
    if (!this.#logits || this.#logits.shape[0] < rows) {
      if (this.#logits) this.#scope.free(this.#logits)
      this.#logits = this.#scope.allocate('f32', shape)
    }
    return this.#logits.shape[0] === rows ? this.#logits : this.#backend.view(this.#logits, shape)
  }

  /** Room for a factor of each of C channels, which the next call for as many overwrites: [C]. */
  factors(C: number): Buffer {
    return remembered(this.#factors, C, () => this.#scope.allocate('f32', [C], 'anything'))
  }

  /** Room for what products read under a mask of channels, which the next call overwrites: [T, C]. */
  masked(T: number, C: number): Buffer {
    if (!this.#masked || this.#masked.length < T * C) {
      if (this.#masked) this.#scope.free(this.#masked)
      this.#masked = this.#scope.allocate('f32', [T * C], 'anything')
    }
    return this.#backend.view(this.#masked, [T, C])
  }

  dispose(): void {
    this.#scope.dispose()
    this.#slots = []
    this.#views.clear()
    this.#logits = null
    this.#factors.clear()
    this.#masked = null
  }

  #grow(T: number): void {
    this.dispose()
    this.#slots = this.#plan.slotWidths.map((width) => this.#scope.allocate('f32', [T, width]))
    this.#rows = T
  }
}

/** The place of a value that has no slot. */
const NOTHING: Buffer = { dtype: 'f32', shape: [0], length: 0 }
