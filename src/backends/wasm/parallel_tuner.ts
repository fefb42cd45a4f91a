/**
 * The parallel tuner: decides by measured times whether calls of one kind are shared among threads or computed by one.
 *
 * Sharing may halve the time of a call. While another process uses a core, it may make the call many times slower. This
 * can change at any moment, so the tuner tries sharing from time to time and keeps it while it is faster:
 *
 * - A phase of shared calls begins with a trial of a few calls. The first call wakes the other threads; the others measure
 *   the gain. After the trial the phase ends as soon as the time lost since its best moment exceeds a fraction of a call.
 * - A phase that lost time in total is followed by unshared calls that take at least 32 times that time, and twice as long
 *   after each further phase that lost. So less than 1/32 of all time is lost, beyond what the first phase loses.
 * - During a phase some calls are not shared, to measure how long one thread takes now. They cost nothing against one
 *   thread.
 *
 * Times are arguments: the tuner reads no clock. Times are compared per unit of work, so calls of one kind may differ in
 * size.
 */

/** Calls of a trial. */
const TRIAL = 4
/** A trial is aborted when it lost the time of one unshared call plus this time for waking a thread. */
const WAKING = 1 // ms
/** After the trial a phase ends when it lost this fraction of a call. */
const PATIENCE = 0.5
/** The time of the unshared calls after a phase, as a multiple of the time it lost. */
const REST = 32
/** The least loss that is assumed of a phase that did not pay, in calls. */
const MIN_LOSS = 0.25
/** How many times the rest is doubled at most. */
const MAX_DOUBLINGS = 5
/** A phase paid if it gained this share of the time of one thread. */
const WORTHWHILE = 0.04
/** Unshared calls before the first phase, and after one that paid. */
const SHORT_REST = 3
/** Unshared calls that are remembered. */
const MEMORY = 5
/** A measurement is doubted if its ratio to the previous ones exceeds this. */
const DOUBT = 1.25
/** Unshared calls that settle a doubt. */
const ENOUGH = 3
/** Shared calls between two unshared ones: more of them the larger the gain is, so that the unshared ones cost below 2 %. */
const SAMPLING = { min: 4, max: 32, perGain: 50 }

/** What the tuner has found about calls of one kind. */
export interface Finding {
  /** Whether calls are shared now. */
  readonly shared: boolean
  /** Recent speed of shared calls as a multiple of that of unshared ones; null if none has been tried. */
  readonly gain: number | null
}

/** The tuner of one kind of calls: `choose` before each call, `record` after it. */
export class ParallelTuner {
  readonly #alone = new LastTimes()
  #isSharing = false
  /** Unshared calls that are due, and the least time they must take. */
  #dueCalls = SHORT_REST
  #dueTime = 0
  /** Phases in a row that did not pay. */
  #failures = 0
  /** Time per unit of work of the calls of the trial so far; null after the trial. */
  #trial: number[] | null = null
  /** Of this phase: the time one thread would have taken, and how much longer the phase took. */
  #expected = 0
  #lost = 0
  /** Time lost since the best moment of the phase. */
  #drift = 0
  /** Time per unit of work of unshared and of shared calls. */
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

  /** Records a call. @param time milliseconds; @param work above 0 */
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
    this.#untilSample = TRIAL + SAMPLING.min
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

  /** An unshared call of the phase: accepted if it is close to the previous ones, or if the next ones agree with it. */
  #recordSample(rate: number, work: number): void {
    this.#doubted.push(rate)
    const isUsual = rate < this.#usual * DOUBT && rate > this.#usual / DOUBT
    if (this.#doubted.length === 1 ? !isUsual : this.#doubted.length < ENOUGH) return
    if (this.#doubted.length > 1) this.#alone.forget()
    for (const one of this.#doubted) this.#alone.add(one)
    this.#doubted = []
    this.#usual = this.#alone.median
    const gain = 1 - (this.#shared ?? 0) / this.#usual
    const { min, max, perGain } = SAMPLING
    this.#untilSample = Math.round(Math.min(max, Math.max(min, perGain * gain)))
    if (gain < WORTHWHILE) this.#stop(this.#usual * work)
  }

  /** Ends a phase. @param call the time of an unshared call */
  #stop(call: number): void {
    this.#isSharing = false
    const paid = -this.#lost > WORTHWHILE * this.#expected
    this.#failures = paid ? 0 : this.#failures + 1
    const doubled = 2 ** Math.min(this.#failures - 1, MAX_DOUBLINGS)
    this.#dueTime = paid ? 0 : REST * Math.max(this.#lost, MIN_LOSS * call) * doubled
    this.#dueCalls = SHORT_REST
  }
}

/** The last few times per unit of work. */
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
