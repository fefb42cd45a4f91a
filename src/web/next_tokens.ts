/**
 * Asks the engine what comes next at a column, as computed and with switches, and remembers the last answer until there is
 * a new one. One question at a time; while a text is written none.
 */
import type { UnitMask } from '../masks/mask.ts'
import type { NextToken } from './engine/model_info.ts'
import type { Session } from './session.ts'
import type { Trace } from './trace/trace.ts'

interface Question {
  readonly trace: Trace
  readonly column: number
  readonly mask: UnitMask
  /** With switches; null where there are none. */
  readonly switched: UnitMask | null
}

/** The likeliest next tokens at what is shown. */
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

  /** The last answer, none yet; null where there is no model to ask. */
  get shown(): readonly NextToken[] | null {
    return this.#answer
  }

  /** Asks, unless that was asked last. @param trace null where its model is not there */
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
      // The model went while it was asked; whoever closed it says so.
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
  return (['heads', 'neurons'] as const).every((kind) => a[kind].every((value, i) => value === b[kind][i]))
}
