/**
 * Retries of transient failures: a few attempts with exponential backoff, or after the time that the server asks for, within
 * limits.
 */
import type { HubError } from '../../tensor/errors.ts'
import type { HubSettings } from './settings.ts'

/** A transient failure: a dropped connection, or a busy server. */
export class PassingFailure extends Error {
  /** The error if all attempts fail. */
  readonly reason: HubError
  /** Milliseconds that the server asks to wait; null if it does not. */
  readonly retryAfter: number | null

  constructor(reason: HubError, retryAfter: number | null = null) {
    super(reason.message, { cause: reason })
    this.name = 'PassingFailure'
    this.reason = reason
    this.retryAfter = retryAfter
  }
}

/** The number of failures without progress after which it gives up. */
const MAX_FAILURES = 5
const FIRST_WAIT = 500 // ms; doubled each time
/** The total wait that servers may ask for per model, in milliseconds. */
export const MAX_RETRY_AFTER = 120_000

/** The remaining wait of one model, shared by all its requests. */
export interface WaitBudget {
  left: number
}

/** The retry state of one request. */
export class Patience {
  readonly #wait: HubSettings['wait']
  readonly #signal: AbortSignal | undefined
  readonly #budget: WaitBudget
  #failures = 0

  constructor(wait: HubSettings['wait'], budget: WaitBudget, signal: AbortSignal | undefined) {
    this.#wait = wait
    this.#budget = budget
    this.#signal = signal
  }

  /** Progress: earlier failures no longer count. */
  progressed(): void {
    this.#failures = 0
  }

  /**
   * Waits before the next attempt.
   * @throws the failure if it is not transient, or was the last attempt; the signal's reason
   */
  async after(failure: unknown): Promise<void> {
    this.#signal?.throwIfAborted()
    if (!(failure instanceof PassingFailure)) throw failure
    if (++this.#failures >= MAX_FAILURES) throw failure.reason
    const { retryAfter } = failure
    if (retryAfter !== null) {
      if (retryAfter > this.#budget.left) throw failure.reason
      this.#budget.left -= retryAfter
    }
    await this.#wait(retryAfter ?? FIRST_WAIT * 2 ** (this.#failures - 1), this.#signal)
  }
}
