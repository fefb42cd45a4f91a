/**
 * How long a run of several stages will still take, from the work each stage is expected to be and the time so far.
 */
import { now } from '../platform/platform.ts'

/** Adds up work done. Work is in any unit that is proportional to time. */
export class WorkMeter<Stage extends string> {
  readonly #planned: Readonly<Record<Stage, number>>
  readonly #share = new Map<Stage, number>()
  #started = now()

  constructor(planned: Readonly<Record<Stage, number>>) {
    this.#planned = planned
  }

  /** Takes note of a stage's share done, from 0 to 1; returns the seconds left, or null before any work was done. */
  update(stage: Stage, share: number): number | null {
    this.#share.set(stage, share)
    let total = 0
    let done = 0
    for (const name of Object.keys(this.#planned) as Stage[]) {
      total += this.#planned[name]
      done += this.#planned[name] * (this.#share.get(name) ?? 0)
    }
    return done > 0 ? (((now() - this.#started) / 1000) * (total - done)) / done : null
  }
}
