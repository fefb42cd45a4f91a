/**
 * Who computes when: one step of one text at a time, in turn.
 *
 * A request enters once it has a seat; the others wait in a queue, and those that find the queue full are refused. A request
 * with a seat asks for one step at a time. Steps run in the order they were asked for, so that between two steps of a request
 * every other one that is ready has had one. A request that asks for none, such as that of a client who does not read, holds
 * nobody up. The event loop has a turn after each step: sockets are read, clients that left are noticed.
 */
import { nextTurn } from '../platform/pause.ts'
import { RequestError, RETRY_AFTER } from './request_error.ts'

/** How many requests are taken. */
export interface Limits {
  /** Requests that compute at a time: each has a sequence and its cache. */
  readonly seats: number
  /** Requests that wait for a seat. */
  readonly queue: number
}

/** A seat of one request. */
export interface Seat {
  /**
   * Runs one step when its turn comes.
   * @throws what the step throws; the reason of the request's signal; RequestError DRAINING if the server ends
   */
  step<T>(work: () => T): Promise<T>
  /** Gives the seat back. Safe to call twice. */
  leave(): void
}

interface Step {
  run(): void
  refuse(reason: unknown): void
  readonly signal: AbortSignal
}

interface Waiting {
  enter(): void
  refuse(reason: unknown): void
}

/** Gives out seats and turns. */
export class Scheduler {
  readonly #limits: Limits
  readonly #waiting = new Set<Waiting>()
  readonly #steps: Step[] = []
  #seated = 0
  /** Requests that wait to be read. */
  #unread = 0
  #isRunning = false
  #isDraining = false
  #isOver = false
  readonly #idle: (() => void)[] = []

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Requests with a seat. */
  get seated(): number {
    return this.#seated
  }

  /** Requests without one. */
  get queued(): number {
    return this.#waiting.size + this.#unread
  }

  /** Whether no request is taken any more. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /**
   * Waits for a seat.
   * @throws RequestError QUEUE_FULL, DRAINING; the reason of the signal
   */
  async enter(signal: AbortSignal): Promise<Seat> {
    signal.throwIfAborted()
    if (this.#isDraining) throw this.ending()
    if (this.#seated < this.#limits.seats) this.#seated++
    else await this.#wait(signal)
    let isSeated = true
    return {
      step: (work) => this.#step(work, signal),
      leave: () => {
        if (isSeated) this.#leave()
        isSeated = false
      },
    }
  }

  /**
   * Takes a place among those that wait, for a request that has yet to be read.
   * @returns gives it back
   * @throws RequestError QUEUE_FULL, DRAINING
   */
  wait(): () => void {
    if (this.#isDraining) throw this.ending()
    this.#expectRoom()
    this.#unread++
    return () => void this.#unread--
  }

  /** Takes no further request. @returns when the last one has left */
  async drain(): Promise<void> {
    this.#isDraining = true
    if (this.#seated > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Ends every request at its next step. */
  end(): void {
    this.#isDraining = this.#isOver = true
    for (const one of this.#waiting) one.refuse(this.ending())
  }

  #wait(signal: AbortSignal): Promise<void> {
    this.#expectRoom()
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#waiting.delete(waiting)
        signal.removeEventListener('abort', onAbort)
      }
      const waiting: Waiting = {
        enter: () => (done(), resolve()),
        refuse: (reason) => (done(), reject(reason)),
      }
      const onAbort = (): void => waiting.refuse(signal.reason)
      signal.addEventListener('abort', onAbort)
      this.#waiting.add(waiting)
    })
  }

  #expectRoom(): void {
    if (this.queued >= this.#limits.queue)
      throw new RequestError(
        429,
        'QUEUE_FULL',
        `queue: expected at most ${this.#limits.queue} waiting requests, got one more; try again`,
        { headers: { 'retry-after': RETRY_AFTER } },
      )
  }

  #leave(): void {
    const [next] = this.#waiting
    // The seat goes to the next one, so that nobody who comes meanwhile takes it.
    if (next) return next.enter()
    this.#seated--
    if (this.#seated === 0) for (const tell of this.#idle.splice(0)) tell()
  }

  #step<T>(work: () => T, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const run = (): void => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      }
      this.#steps.push({ run, refuse: reject, signal })
      if (!this.#isRunning) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (let step = this.#steps.shift(); step; step = this.#steps.shift()) {
      if (step.signal.aborted) step.refuse(step.signal.reason)
      else if (this.#isOver) step.refuse(this.ending())
      else step.run()
      await nextTurn()
    }
    this.#isRunning = false
  }

  /** Why a server that ends refuses. */
  ending(): RequestError {
    return new RequestError(
      503,
      'DRAINING',
      'server: expected one that takes requests, got one that is shutting down',
      {
        headers: { 'retry-after': RETRY_AFTER, connection: 'close' },
      },
    )
  }
}
