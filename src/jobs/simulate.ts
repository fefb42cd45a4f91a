/**
 * A simulation of a cluster: workers take jobs from a queue by the rules of queue_worker.ts and queue_runner.ts, crash,
 * lose the network and recover, determined by one seed. It shows whether the rules lose work, and what failures cost, for
 * clusters larger than a test can run.
 *
 *   a worker loads its model, then does one job after the other
 *   a worker that crashes loses its job; the job is handed out again once its lock expires, and the worker restarts
 *   a worker without network continues; if its lock expires, another worker gets the job too, and both results arrive
 *   a result counts once
 *
 * Times are seconds. The time of a job is normally distributed around the mean; failures are a Poisson process.
 */
import TinyQueue from 'tinyqueue'
import { Random } from '../tensor/random.ts'

/** A cluster and its work. */
export interface ClusterSettings {
  readonly workers: number
  readonly jobs: number
  /** Mean time of a job, and its standard deviation as a share of the mean. */
  readonly jobSeconds: number
  readonly spread: number
  /** The time a worker needs to load its model. */
  readonly loadSeconds: number
  /** The time after which a lock expires if it is not renewed. */
  readonly lockSeconds: number
  /** Crashes per worker and hour, and the time until the worker restarts. */
  readonly deathsPerHour: number
  readonly restartSeconds: number
  /** Network failures per worker and hour, and their duration. */
  readonly cutsPerHour: number
  readonly cutSeconds: number
  readonly seed: number
}

/** The outcome. */
export interface ClusterOutcome {
  /** Seconds until the last result. */
  readonly makespan: number
  /** Jobs with a result: all of them, unless the rules are wrong. */
  readonly done: number
  /** Results for a job that already had one. */
  readonly twice: number
  /** Jobs handed out again. */
  readonly again: number
  readonly deaths: number
  /** The work of all jobs, each counted once, over workers times makespan. */
  readonly efficiency: number
}

/** The rules that a mutant breaks. */
export interface ClusterRules {
  /** Whether an expired lock hands the job out again. */
  readonly handsOutAgain: boolean
  /** Whether a second result of a job is ignored. */
  readonly countsOnce: boolean
}

type Event =
  | { readonly at: number; readonly what: 'start'; readonly worker: number }
  | { readonly at: number; readonly what: 'finish'; readonly worker: number; readonly job: number }
  | { readonly at: number; readonly what: 'lost'; readonly job: number }

/** Simulates a cluster until all jobs are done. @param rules the rules in force; mutants break one */
export function simulateCluster(
  settings: ClusterSettings,
  rules: ClusterRules = { handsOutAgain: true, countsOnce: true },
): ClusterOutcome {
  const cluster = new Cluster(settings, rules)
  return cluster.run()
}

class Cluster {
  readonly #settings: ClusterSettings
  readonly #rules: ClusterRules
  readonly #random: Random
  /** Ordered by time. The order of simultaneous events depends on the pushes alone, so a seed gives one outcome. */
  readonly #events = new TinyQueue<Event>([], (a, b) => a.at - b.at)
  readonly #durations: Float64Array
  readonly #hasResult: Uint8Array
  /** Jobs whose lock expired; they are handed out first. */
  readonly #back: number[] = []
  readonly #free: number[] = []
  #next = 0
  #done = 0
  #twice = 0
  #again = 0
  #deaths = 0
  #last = 0

  constructor(settings: ClusterSettings, rules: ClusterRules) {
    this.#settings = settings
    this.#rules = rules
    this.#random = new Random(settings.seed)
    this.#hasResult = new Uint8Array(settings.jobs)
    const { jobSeconds, spread } = settings
    this.#durations = Float64Array.from({ length: settings.jobs }, () =>
      Math.max(0.1 * jobSeconds, jobSeconds * (1 + spread * this.#random.normal())),
    )
  }

  run(): ClusterOutcome {
    const { workers, jobs, loadSeconds } = this.#settings
    for (let worker = 0; worker < workers; worker++)
      this.#events.push({ at: loadSeconds, what: 'start', worker })
    for (let event = this.#events.pop(); event; event = this.#events.pop()) {
      if (this.#done >= jobs) break
      this.#handle(event)
    }
    const work = this.#durations.reduce((total, seconds) => total + seconds, 0)
    return {
      makespan: this.#last,
      done: this.#hasResult.reduce((total, has) => total + has, 0),
      twice: this.#twice,
      again: this.#again,
      deaths: this.#deaths,
      efficiency: this.#last === 0 ? 1 : work / (workers * this.#last),
    }
  }

  #handle(event: Event): void {
    if (event.what === 'start') this.#give(event.worker, event.at)
    else if (event.what === 'lost') this.#handOutAgain(event.job, event.at)
    else {
      this.#take(event.job, event.at)
      this.#give(event.worker, event.at)
    }
  }

  #take(job: number, at: number): void {
    const isSecond = this.#hasResult[job] === 1
    if (isSecond) this.#twice++
    if (!isSecond || !this.#rules.countsOnce) this.#done++
    this.#hasResult[job] = 1
    if (!isSecond) this.#last = at
  }

  #handOutAgain(job: number, at: number): void {
    if (this.#hasResult[job] === 1 || !this.#rules.handsOutAgain) return
    this.#again++
    this.#back.push(job)
    const worker = this.#free.pop()
    if (worker !== undefined) this.#give(worker, at)
  }

  /** Hands the next job to a worker and draws its outcome. */
  #give(worker: number, at: number): void {
    const job = this.#back.pop() ?? (this.#next < this.#settings.jobs ? this.#next++ : undefined)
    if (job === undefined) return void this.#free.push(worker)
    const { lockSeconds, restartSeconds, loadSeconds, cutSeconds, deathsPerHour, cutsPerHour } =
      this.#settings
    const end = at + this.#durations[job]
    const death = at + this.#until(deathsPerHour)
    if (death < end) {
      this.#deaths++
      this.#events.push({ at: death + lockSeconds, what: 'lost', job })
      this.#events.push({ at: death + restartSeconds + loadSeconds, what: 'start', worker })
      return
    }
    const cut = at + this.#until(cutsPerHour)
    // Without network the lock is not renewed, and the result waits.
    if (cut < end && cutSeconds > lockSeconds) this.#events.push({ at: cut + lockSeconds, what: 'lost', job })
    const arrives = cut < end ? Math.max(end, cut + cutSeconds) : end
    this.#events.push({ at: arrives, what: 'finish', worker, job })
  }

  /** Seconds until the next event of a Poisson process. */
  #until(perHour: number): number {
    // uniform() is below 1, so the logarithm is finite.
    return perHour === 0 ? Infinity : (-Math.log(1 - this.#random.uniform()) * 3600) / perHour
  }
}
