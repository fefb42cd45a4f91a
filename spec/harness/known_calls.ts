/**
 * Calls of ops with what their definitions make of them, kept for backends that are tried on the same cases one after another: a
 * definition answers each case once.
 */
import type { KnownCall } from '../../src/verify/ops/agreement.ts'

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

function bytesOf({ values, expected }: KnownCall): number {
  const arrays = [...Object.values(values), ...Object.values(expected)]
  return arrays.reduce<number>((total, one) => total + (ArrayBuffer.isView(one) ? one.byteLength : 0), 0)
}
