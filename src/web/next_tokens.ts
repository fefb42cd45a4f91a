/**
 * Requests the next-token distribution of a column, with and without switches, and keeps the last answer until the next one.
 * There is one request at a time, and none while a text is generated.
 */
import { unitKinds, type UnitMask } from '../masks/mask.ts'
import type { NextToken } from './engine/model_info.ts'
import type { Session } from './session.ts'
import type { Trace } from './trace/trace.ts'

interface NextRequest {
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
  /** What the last answer is of. */
  #answered: NextRequest | null = null
  /** The last request that was sent. */
  #asked: NextRequest | null = null
  #isBusy = false
  #requested: NextRequest | null = null

  constructor(session: Session, onAnswer: () => void) {
    this.#session = session
    this.#onAnswer = onAnswer
  }

  /** The answer to the last request; empty until it is there; null without a model. */
  get shown(): readonly NextToken[] | null {
    const isCurrent = this.#requested !== null && same(this.#requested, this.#answered)
    return this.#answer && (isCurrent ? this.#answer : [])
  }

  /** Requests, unless the request is unchanged. @param trace null if its model is not open */
  ask(trace: Trace | null, column: number, mask: UnitMask, switched: UnitMask | null): void {
    if (!trace || !this.#session.opt) {
      this.#answer = this.#answered = this.#asked = this.#requested = null
      return
    }
    this.#answer ??= []
    this.#requested = { trace, column, mask, switched }
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    try {
      while (this.#requested && !this.#session.isWriting && !same(this.#requested, this.#asked)) {
        const request = (this.#asked = this.#requested)
        const { trace, column, mask, switched } = request
        const written = trace.columns.slice(0, column).map(({ token }) => token)
        const ids = Int32Array.of(...trace.prompt, ...written)
        const answer = await this.#session.opt?.next(ids, switched ? [mask, switched] : [mask])
        if (answer && this.#requested) {
          this.#answer = answer
          this.#answered = request
        }
        this.#onAnswer()
      }
    } catch {
      // The model was closed meanwhile; the closing code reports it.
      this.#answer = []
    } finally {
      this.#isBusy = false
    }
  }
}

function same(a: NextRequest, b: NextRequest | null): boolean {
  if (!b || a.trace.prompt !== b.trace.prompt || a.column !== b.column) return false
  return sameTables(a.mask, b.mask) && sameTables(a.switched, b.switched)
}

function sameTables(a: UnitMask | null, b: UnitMask | null): boolean {
  if (a === b || !a || !b) return a === b
  return unitKinds.every((kind) => a[kind].every((value, i) => value === b[kind][i]))
}
