/**
 * A cluster on paper: so many workers take shards from a queue by the rules of queue_worker.ts and queue_runner.ts, die,
 * lose the network and come back, all by one seed. It says whether the rules lose work, and what failures cost, at sizes
 * that nobody has at hand.
 *
 *   a worker loads its model, then does one shard after the other
 *   one that dies loses its shard; the shard is handed out again once its lock has run out, and the worker starts anew
 *   one that is cut off works on; when its lock runs out somebody else gets the shard too, and both results arrive
 *   a result counts once, whoever brings it
 *
 * Times are seconds. A shard takes the mean time, more or less by a normal deviation; failures come at random, each hour
 * as likely as another.
 */
import TinyQueue from 'tinyqueue'
import { Random } from '../tensor/random.ts'

/** A cluster and its work. */
export interface ClusterSettings {
  readonly workers: number
  readonly shards: number
  /** Mean of a shard, and its deviation as a share of that. */
  readonly shardSeconds: number
  readonly spread: number
  /** Until a worker has its model. */
  readonly loadSeconds: number
  /** Until a lock that is not renewed runs out. */
  readonly lockSeconds: number
  /** How often a worker dies in an hour, and how long until it starts again. */
  readonly deathsPerHour: number
  readonly restartSeconds: number
  /** How often a worker is cut off from the server in an hour, and for how long. */
  readonly cutsPerHour: number
  readonly cutSeconds: number
  readonly seed: number
}

/** What came of it. */
export interface ClusterOutcome {
  /** Seconds until the last result. */
  readonly makespan: number
  /** Shards with a result; all of them, or the rules are wrong. */
  readonly done: number
  /** Results that arrived for a shard that had one. */
  readonly twice: number
  /** Shards handed out again. */
  readonly again: number
  readonly deaths: number
  /** Work of all shards, each once, over what the workers' time could have held. */
  readonly efficiency: number
}

/** The rules that a mutant breaks. */
export interface ClusterRules {
  /** Whether a lock that ran out hands the shard out again. */
  readonly handsOutAgain: boolean
  /** Whether a second result of a shard is left out. */
  readonly countsOnce: boolean
}

type Event =
  | { readonly at: number; readonly what: 'start'; readonly worker: number }
  | { readonly at: number; readonly what: 'finish'; readonly worker: number; readonly shard: number }
  | { readonly at: number; readonly what: 'lost'; readonly shard: number }

/** Runs a cluster to its end. @param rules those that are kept, for mutants */
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
  /** By time. Events at the same time come in an order that depends on the pushes alone: a seed gives one outcome. */
  readonly #events = new TinyQueue<Event>([], (a, b) => a.at - b.at)
  readonly #durations: Float64Array
  readonly #hasResult: Uint8Array
  /** Shards to hand out: those in order, then those that came back. */
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
    this.#hasResult = new Uint8Array(settings.shards)
    const { shardSeconds, spread } = settings
    this.#durations = Float64Array.from({ length: settings.shards }, () =>
      Math.max(0.1 * shardSeconds, shardSeconds * (1 + spread * this.#random.normal())),
    )
  }

  run(): ClusterOutcome {
    const { workers, shards, loadSeconds } = this.#settings
    for (let worker = 0; worker < workers; worker++)
      this.#events.push({ at: loadSeconds, what: 'start', worker })
    for (let event = this.#events.pop(); event; event = this.#events.pop()) {
      if (this.#done >= shards) break
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
    else if (event.what === 'lost') this.#handOutAgain(event.shard, event.at)
    else {
      this.#take(event.shard, event.at)
      this.#give(event.worker, event.at)
    }
  }

  #take(shard: number, at: number): void {
    const isSecond = this.#hasResult[shard] === 1
    if (isSecond) this.#twice++
    if (!isSecond || !this.#rules.countsOnce) this.#done++
    this.#hasResult[shard] = 1
    if (!isSecond) this.#last = at
  }

  #handOutAgain(shard: number, at: number): void {
    if (this.#hasResult[shard] === 1 || !this.#rules.handsOutAgain) return
    this.#again++
    this.#back.push(shard)
    const worker = this.#free.pop()
    if (worker !== undefined) this.#give(worker, at)
  }

  /** Hands the next shard to a worker, and draws what becomes of it. */
  #give(worker: number, at: number): void {
    const shard = this.#back.pop() ?? (this.#next < this.#settings.shards ? this.#next++ : undefined)
    if (shard === undefined) return void this.#free.push(worker)
    const { lockSeconds, restartSeconds, loadSeconds, cutSeconds, deathsPerHour, cutsPerHour } =
      this.#settings
    const end = at + this.#durations[shard]
    const death = at + this.#until(deathsPerHour)
    if (death < end) {
      this.#deaths++
      this.#events.push({ at: death + lockSeconds, what: 'lost', shard })
      this.#events.push({ at: death + restartSeconds + loadSeconds, what: 'start', worker })
      return
    }
    const cut = at + this.#until(cutsPerHour)
    // While it is cut off the lock is not renewed, and a result waits for the network.
    if (cut < end && cutSeconds > lockSeconds)
      this.#events.push({ at: cut + lockSeconds, what: 'lost', shard })
    const arrives = cut < end ? Math.max(end, cut + cutSeconds) : end
    this.#events.push({ at: arrives, what: 'finish', worker, shard })
  }

  /** Seconds until what happens so often in an hour happens next. */
  #until(perHour: number): number {
    // Above 0: the logarithm of what is left is finite.
    return perHour === 0 ? Infinity : (-Math.log(1 - this.#random.uniform()) * 3600) / perHour
  }
}
