/**
 * Calls that are checked once and run again as they are. A token makes the calls of the token before it, most of them on the same
 * buffers. Of SmolLM2 in four or eight bits it takes 2 % less time so.
 */
import type { Ops } from './backend.ts'
import type { KernelArgument, KernelFunction } from './calls.ts'
import type { OwnedBuffer } from './owned_buffer.ts'

/** Calls that run again without a look at their arguments. */
export interface Recording {
  /** Runs them; false, and nothing is run, once one of their buffers was freed, or is a list that was made anew. */
  run(): boolean
}

/** By the ops whose calls they see. Functions around ops are others, and see every call. */
const recorders = new WeakMap<Ops, Pick<Recorder<unknown>, 'record'>>()

/** What records the calls of these ops; null where each call has to be made. */
export function recorderOf(ops: Ops): Pick<Recorder<unknown>, 'record'> | null {
  return recorders.get(ops) ?? null
}

/** Records calls of a backend. */
export class Recorder<Address> {
  /** What is being recorded. */
  #calls: (() => void)[] | null = null
  /** How often something that was recorded ended. */
  #ends = 0

  /** Sees the calls of ops that are to note them. */
  attach(ops: Ops): void {
    recorders.set(ops, this)
  }

  /** Runs a body, and records the calls that it makes. */
  record(body: () => void): Recording {
    const calls: (() => void)[] = (this.#calls = [])
    const ends = this.#ends
    try {
      body()
    } finally {
      this.#calls = null
    }
    return {
      run: () => {
        if (ends !== this.#ends) return false
        for (const call of calls) call()
        return true
      },
    }
  }

  /** Notes a call that passed its checks. */
  note(
    kernel: KernelFunction<Address>,
    flat: readonly KernelArgument<Address>[],
    buffers: readonly (OwnedBuffer<Address> | null)[],
  ): void {
    if (!this.#calls) return
    const args = flat.slice()
    this.#calls.push(kernel.prepare?.(...args) ?? ((): void => kernel(...args)))
    for (const buffer of buffers) if (buffer) (buffer.parent ?? buffer).isRecorded = true
  }

  /** Ends what was recorded with a buffer, which is freed or a list that is written. */
  end({ isRecorded }: Pick<OwnedBuffer<Address>, 'isRecorded'>): void {
    if (isRecorded) this.#ends++
  }
}
