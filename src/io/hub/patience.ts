/**
 * Failures that may pass, and how long to wait for that: a few times, each time longer, or as long as the server asks,
 * within limits.
 */
import type { HubError } from '../../tensor/errors.ts'
import type { HubSettings } from './settings.ts'

/** A failure that the next attempt may not meet: a dropped connection, a server that is busy. */
export class PassingFailure extends Error {
  /** What it is called if it does not pass. */
  readonly reason: HubError
  /** Milliseconds that the server asks to wait; null where it does not say. */
  readonly retryAfter: number | null

  constructor(reason: HubError, retryAfter: number | null = null) {
    super(reason.message, { cause: reason })
    this.name = 'PassingFailure'
    this.reason = reason
    this.retryAfter = retryAfter
  }
}

/** The fifth failure without progress is the last. */
const MAX_FAILURES = 5
const FIRST_WAIT = 500 // ms; doubled each time
/** All that servers may make one model wait, in milliseconds. */
const MAX_RETRY_AFTER = 120_000

/** What servers may still ask of one load: shared by all that it fetches. */
export interface WaitBudget {
  left: number
}

/** A new budget. */
export function waitBudget(): WaitBudget {
  return { left: MAX_RETRY_AFTER }
}

/** The patience with one thing that is fetched. */
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

  /** Something was got: failures before it no longer count. */
  progressed(): void {
    this.#failures = 0
  }

  /**
   * Waits until it is worth trying again.
   * @throws the failure itself if it cannot pass, or did not; the signal's reason
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
