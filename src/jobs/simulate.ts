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
  const { workers, jobs, jobSeconds, spread, loadSeconds, lockSeconds, restartSeconds, cutSeconds } = settings
  const random = new Random(settings.seed)
  const durations = Float64Array.from({ length: jobs }, () =>
    Math.max(0.1 * jobSeconds, jobSeconds * (1 + spread * random.normal())),
  )
  // Ordered by time. The order of simultaneous events depends on the pushes alone, so a seed gives one outcome.
  const events = new TinyQueue<Event>([], (a, b) => a.at - b.at)
  const hasResult = new Uint8Array(jobs)
  // Jobs whose lock expired; they are handed out first.
  const back: number[] = []
  const free: number[] = []
  let next = 0
  let done = 0
  const outcome = { makespan: 0, twice: 0, again: 0, deaths: 0 }

  /** Seconds until the next event of a Poisson process. */
  const until = (perHour: number): number =>
    // uniform() is below 1, so the logarithm is finite.
    perHour === 0 ? Infinity : (-Math.log(1 - random.uniform()) * 3600) / perHour

  /** Hands the next job to a worker and draws its outcome. */
  const give = (worker: number, at: number): void => {
    const job = back.pop() ?? (next < jobs ? next++ : undefined)
    if (job === undefined) return void free.push(worker)
    const end = at + durations[job]
    const death = at + until(settings.deathsPerHour)
    if (death < end) {
      outcome.deaths++
      events.push({ at: death + lockSeconds, what: 'lost', job })
      events.push({ at: death + restartSeconds + loadSeconds, what: 'start', worker })
      return
    }
    const cut = at + until(settings.cutsPerHour)
    // Without network the lock is not renewed, and the result waits.
    if (cut < end && cutSeconds > lockSeconds) events.push({ at: cut + lockSeconds, what: 'lost', job })
    const arrives = cut < end ? Math.max(end, cut + cutSeconds) : end
    events.push({ at: arrives, what: 'finish', worker, job })
  }

  const take = (job: number, at: number): void => {
    const isSecond = hasResult[job] === 1
    if (isSecond) outcome.twice++
    else outcome.makespan = at
    if (!isSecond || !rules.countsOnce) done++
    hasResult[job] = 1
  }

  const handOutAgain = (job: number, at: number): void => {
    if (hasResult[job] === 1 || !rules.handsOutAgain) return
    outcome.again++
    back.push(job)
    const worker = free.pop()
    if (worker !== undefined) give(worker, at)
  }

  for (let worker = 0; worker < workers; worker++) events.push({ at: loadSeconds, what: 'start', worker })
  for (let event = events.pop(); event; event = events.pop()) {
    if (done >= jobs) break
    if (event.what === 'lost') handOutAgain(event.job, event.at)
    else {
      if (event.what === 'finish') take(event.job, event.at)
      give(event.worker, event.at)
    }
  }
  const work = durations.reduce((total, seconds) => total + seconds, 0)
  return {
    ...outcome,
    done: hasResult.reduce((total, has) => total + has, 0),
    efficiency: outcome.makespan === 0 ? 1 : work / (workers * outcome.makespan),
  }
}
