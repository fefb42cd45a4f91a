/**
 * Requests the next-token distribution of a column, with and without switches, and keeps the last answer until there is a new
 * one. There is one request at a time, and none while a text is generated.
 */
import { unitKinds, type UnitMask } from '../masks/mask.ts'
import type { NextToken } from './engine/model_info.ts'
import type { Session } from './session.ts'
import type { Trace } from './trace/trace.ts'

interface Question {
  readonly trace: Trace
  readonly column: number
  readonly mask: UnitMask
  /** With switches; null if there are none. */
  readonly switched: UnitMask | null
}

/** The most likely next tokens of the current column. */
export class NextTokens {
  readonly #session: Session
  readonly #onAnswer: () => void
  #answer: readonly NextToken[] | null = null
  #asked: Question | null = null
  #isAsking = false
  #wanted: Question | null = null

  constructor(session: Session, onAnswer: () => void) {
    this.#session = session
    this.#onAnswer = onAnswer
  }

  /** The last answer; null without a model. */
  get shown(): readonly NextToken[] | null {
    return this.#answer
  }

  /** Requests, unless the request is unchanged. @param trace null if its model is not open */
  ask(trace: Trace | null, column: number, mask: UnitMask, switched: UnitMask | null): void {
    if (!trace || !this.#session.opt) {
      this.#answer = this.#asked = this.#wanted = null
      return
    }
    this.#answer ??= []
    this.#wanted = { trace, column, mask, switched }
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#isAsking) return
    this.#isAsking = true
    try {
      while (this.#wanted && !this.#session.isWriting && !same(this.#wanted, this.#asked)) {
        const question = (this.#asked = this.#wanted)
        const { trace, column, mask, switched } = question
        const written = trace.columns.slice(0, column).map(({ token }) => token)
        const ids = Int32Array.of(...trace.prompt, ...written)
        const answer = await this.#session.opt?.next(ids, switched ? [mask, switched] : [mask])
        if (answer && this.#wanted) this.#answer = answer
        this.#onAnswer()
      }
    } catch {
      // The model was closed meanwhile; the closing code reports it.
      this.#answer = []
    } finally {
      this.#isAsking = false
    }
  }
}

function same(a: Question, b: Question | null): boolean {
  if (!b || a.trace.prompt !== b.trace.prompt || a.column !== b.column) return false
  if (a.mask !== b.mask || (a.switched === null) !== (b.switched === null)) return false
  return a.switched === null || b.switched === null || sameTables(a.switched, b.switched)
}

function sameTables(a: UnitMask, b: UnitMask): boolean {
  return unitKinds.every((kind) => a[kind].every((value, i) => value === b[kind][i]))
}
