/**
 * Decides by measured times whether calls of one kind are shared among threads or computed by one.
 *
 * Sharing may halve the time of a call, or, while another process holds a core, make it many times longer; and either
 * may become the other at any moment. So sharing is tried now and then, and kept while it pays:
 *
 * - A phase of shared calls begins with a trial of a few: the first of them wakes the other threads, the others show what
 *   sharing is worth. After it the phase ends as soon as calls lost, since they were last at their best, more than a
 *   fraction of a call.
 * - A phase that lost some time in all is followed by unshared calls that take at least 32 times as long, and twice as long
 *   again after each further one. So of all the time less than 1/32 is lost, beyond what the first phase loses.
 * - Among shared calls some are not shared, to learn how long that takes by now. They cost nothing against one thread.
 *
 * Times are arguments: nothing here looks at a clock. They are compared per unit of work, so that calls of one kind need
 * not be of one size.
 */

/** Calls of a trial. */
const TRIAL = 4
/** A trial is given up when it lost a call, as long as one thread takes for it, and what waking a thread may take. */
const WAKING = 1 // ms
/** Later a phase ends when it lost this much of a call. */
const PATIENCE = 0.5
/** After a phase unshared calls take at least as many times as long as it lost. */
const REST = 32
/** What a phase that did not pay counts as having lost at least, in calls. */
const LEAST_LOSS = 0.25
/** Further phases that lose double the rest up to this many times. */
const MAX_DOUBLINGS = 5
/** A phase paid if it gained this share of what one thread takes. */
const WORTHWHILE = 0.04
/** Unshared calls before the first phase, and after one that paid. */
const SHORT_REST = 3
/** Unshared calls that are remembered. */
const MEMORY = 5
/** A measurement this far from those before, as a ratio, is doubted. */
const DOUBT = 1.25
/** Unshared calls that settle a doubt. */
const ENOUGH = 3
/** Shared calls between two that are not: the more the more sharing gains, so that what those cost stays below 2 %. */
const SAMPLING = { least: 4, most: 32, perGain: 50 }

/** What was found about calls of one kind. */
export interface Finding {
  /** Whether calls are shared now. */
  readonly shared: boolean
  /** How many times as fast as unshared ones shared calls were, lately; null where none has been tried. */
  readonly gain: number | null
}

/** The gauge of one kind of calls: asked before each call, told after it. */
export class ThreadGauge {
  readonly #alone = new LastTimes()
  #isSharing = false
  /** Unshared calls that are due, and the time they take at least. */
  #dueCalls = SHORT_REST
  #dueTime = 0
  /** Phases in a row that did not pay. */
  #failures = 0
  /** Time per work of the calls of the trial so far; null after it. */
  #trial: number[] | null = null
  /** Of this phase: what one thread would have taken, and how much longer it took. */
  #expected = 0
  #lost = 0
  /** What was lost since the phase was at its best. */
  #drift = 0
  /** Time per work of unshared and of shared calls. */
  #usual = 0
  #shared: number | null = null
  /** Shared calls until the next one that is not. */
  #untilSample = 0
  /** Unshared calls of the phase that are in doubt. */
  #doubted: number[] = []

  /** Whether the next call is to be shared. */
  choose(): boolean {
    if (!this.#isSharing) {
      if (this.#dueCalls > 0 || this.#dueTime > 0) return false
      this.#begin()
    }
    return this.#untilSample > 0
  }

  /** What a call took. @param time milliseconds; @param work above 0 */
  record(shared: boolean, time: number, work: number): void {
    if (shared) this.#recordShared(time, work)
    else if (this.#isSharing) this.#recordSample(time / work, work)
    else {
      this.#alone.add(time / work)
      this.#dueCalls--
      this.#dueTime -= time
    }
  }

  get finding(): Finding {
    const gain = this.#shared === null ? null : this.#alone.median / this.#shared
    return { shared: this.#isSharing, gain }
  }

  #begin(): void {
    this.#isSharing = true
    this.#usual = this.#alone.median
    this.#expected = this.#lost = this.#drift = 0
    this.#shared = null
    this.#trial = []
    this.#doubted = []
    this.#untilSample = TRIAL + SAMPLING.least
  }

  #recordShared(time: number, work: number): void {
    const expected = this.#usual * work
    const excess = time - expected
    this.#untilSample--
    this.#expected += expected
    this.#lost += excess
    this.#drift = Math.max(0, this.#drift + excess)
    const rate = time / work
    if (this.#trial) this.#try(this.#trial, rate, expected)
    else {
      this.#shared = (this.#shared ?? rate) + (rate - (this.#shared ?? rate)) / 4
      if (this.#drift > PATIENCE * expected) this.#stop(expected)
    }
  }

  /** A shared call of the trial. */
  #try(trial: number[], rate: number, expected: number): void {
    trial.push(rate)
    this.#shared = median(trial.slice(trial.length === 1 ? 0 : 1))
    const isOver = trial.length === TRIAL
    const pays = this.#shared < (1 - WORTHWHILE) * this.#usual
    if (isOver ? !pays : this.#drift > expected + WAKING) this.#stop(expected)
    else if (isOver) {
      this.#trial = null
      this.#drift = 0
    }
  }

  /** An unshared call of the phase: believed if it is as usual, else if the next ones are like it. */
  #recordSample(rate: number, work: number): void {
    this.#doubted.push(rate)
    const isUsual = rate < this.#usual * DOUBT && rate > this.#usual / DOUBT
    if (this.#doubted.length === 1 ? !isUsual : this.#doubted.length < ENOUGH) return
    if (this.#doubted.length > 1) this.#alone.forget()
    for (const one of this.#doubted) this.#alone.add(one)
    this.#doubted = []
    this.#usual = this.#alone.median
    const gain = 1 - (this.#shared ?? 0) / this.#usual
    const { least, most, perGain } = SAMPLING
    this.#untilSample = Math.round(Math.min(most, Math.max(least, perGain * gain)))
    if (gain < WORTHWHILE) this.#stop(this.#usual * work)
  }

  /** Ends a phase. @param call how long one thread takes for one */
  #stop(call: number): void {
    this.#isSharing = false
    const paid = -this.#lost > WORTHWHILE * this.#expected
    this.#failures = paid ? 0 : this.#failures + 1
    const doubled = 2 ** Math.min(this.#failures - 1, MAX_DOUBLINGS)
    this.#dueTime = paid ? 0 : REST * Math.max(this.#lost, LEAST_LOSS * call) * doubled
    this.#dueCalls = SHORT_REST
  }
}

/** The last few times per work. */
class LastTimes {
  readonly #times = new Float64Array(MEMORY)
  #count = 0

  add(time: number): void {
    this.#times[this.#count++ % MEMORY] = time
  }

  forget(): void {
    this.#count = 0
  }

  get median(): number {
    return median(this.#times.subarray(0, Math.min(this.#count, MEMORY)))
  }
}

function median(numbers: Iterable<number>): number {
  const sorted = Float64Array.from(numbers).sort()
  return sorted[sorted.length >> 1]
}
