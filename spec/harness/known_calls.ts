/**
 * Calls of ops with what their definitions make of them, kept for backends that are tried on the same cases one after another: a
 * definition answers each case once.
 */
import type { KernelName } from '../../src/ops/catalog.ts'
import type { KnownCall, SmallCall } from '../../src/verify/ops/agreement.ts'

/** Arrays of so many bytes are kept. */
const MAX_KNOWN_BYTES = 2 ** 28

const all: { clear(): void }[] = []

/** Drops all calls: spec files share a worker. */
export function forgetCalls(): void {
  for (const calls of all) calls.clear()
}

/** The last calls, by their cases, until the end of a spec file. */
export class KnownCalls<Call extends KnownCall = KnownCall> {
  readonly #calls = new Map<string, Call>()
  #bytes = 0

  constructor() {
    all.push(this)
  }

  get(key: string): Call | undefined {
    return this.#calls.get(key)
  }

  /** Keeps a call that is not known yet, in place of the oldest ones. */
  set(key: string, call: Call): void {
    this.#calls.set(key, call)
    this.#bytes += bytesOf(call)
    for (const [oldest, one] of this.#calls) {
      if (this.#bytes <= MAX_KNOWN_BYTES) break
      this.#calls.delete(oldest)
      this.#bytes -= bytesOf(one)
    }
  }

  clear(): void {
    this.#calls.clear()
    this.#bytes = 0
  }
}

/** The calls of the op that was asked for last, each made once, until the end of a spec file. */
export class LastCalls {
  #name: KernelName | null = null
  #made: SmallCall[] = []
  #rest: Iterator<SmallCall> = [].values()

  constructor() {
    all.push(this)
  }

  /** The calls of an op: those that are made already, then others as they are asked for. */
  *of(name: KernelName, make: (name: KernelName) => Iterator<SmallCall>): Generator<SmallCall, void> {
    if (name !== this.#name) [this.#name, this.#made, this.#rest] = [name, [], make(name)]
    const [made, rest] = [this.#made, this.#rest]
    for (let i = 0; ; i++) {
      if (i === made.length) {
        const next = rest.next()
        if (next.done) return
        made.push(next.value)
      }
      yield made[i]
    }
  }

  clear(): void {
    this.#name = null
    this.#made = []
  }
}

function bytesOf({ values, expected }: KnownCall): number {
  const arrays = [...Object.values(values), ...Object.values(expected)]
  return arrays.reduce<number>((total, one) => total + (ArrayBuffer.isView(one) ? one.byteLength : 0), 0)
}
