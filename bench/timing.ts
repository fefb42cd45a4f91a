/**
 * Timing of small things that are to be compared, by turns (src/results/interleaved_rounds.ts), and tables of what was found.
 */
import { median, medianRatio, turnOrder } from '../src/results/interleaved_rounds.ts'
import { now } from '../src/platform/platform.ts'

/** Something to time. */
export interface Job {
  readonly name: string
  /** How much one call does, in whatever the rate is to be counted in. */
  readonly work: number
  readonly run: () => void
}

/** The rates of one job, work per millisecond, a number per round. */
export interface Rates {
  readonly name: string
  readonly samples: readonly number[]
  /** Of a job with a clock of its own: milliseconds per unit of work that passed outside it, a number per round. */
  readonly outside?: readonly number[]
}

/** Something to time that may have to be waited for, after whatever must be done before it and is not timed. */
export interface WaitingJob {
  readonly name: string
  /** As for a Job. */
  readonly work: number
  readonly prepare: () => Promise<void>
  readonly run: () => Promise<void>
  /** Milliseconds by its own clock since this was asked last; what it does beside its work is not in them. */
  readonly clock?: () => Promise<number>
}

/** Each job once untimed, then `rounds` rounds in which every job has one turn. */
export function interleave(jobs: readonly Job[], rounds: number): Rates[] {
  const rates = jobs.map(({ name }) => ({ name, samples: [] as number[] }))
  for (const { run } of jobs) run()
  for (let round = 0; round < rounds; round++)
    for (const i of turnOrder(round, jobs.length)) {
      const start = now()
      jobs[i].run()
      rates[i].samples.push(jobs[i].work / (now() - start))
    }
  return rates
}

/** `interleave` for jobs that have to be waited for. Of one with a clock of its own, that is what counts. */
export async function interleaveAsync(jobs: readonly WaitingJob[], rounds: number): Promise<Rates[]> {
  const rates = jobs.map(({ name, clock }) => ({
    name,
    samples: [] as number[],
    ...(clock && { outside: [] as number[] }),
  }))
  for (const { prepare, run } of jobs) {
    await prepare()
    await run()
  }
  for (let round = 0; round < rounds; round++)
    for (const i of turnOrder(round, jobs.length)) {
      const { prepare, run, clock, work } = jobs[i]
      await prepare()
      await clock?.()
      const start = now()
      await run()
      const elapsed = now() - start
      const counted = clock ? await clock() : elapsed
      rates[i].samples.push(work / counted)
      rates[i].outside?.push((elapsed - counted) / work)
    }
  return rates
}

/** One job's rate divided by another's in the same round, a number per round. */
export function ratios(rates: Rates, base: Rates): number[] {
  return rates.samples.map((sample, round) => sample / base.samples[round])
}

/** The median over rounds of one job's rate divided by another's in the same round. */
export function ratio(rates: Rates, base: Rates): number {
  return medianRatio(rates.samples, base.samples)
}

/** "median (best)" of rates times a unit. */
export function figure({ samples }: Rates, unit: number): string {
  return `${(median(samples) * unit).toFixed(1)} (${(Math.max(...samples) * unit).toFixed(1)})`
}

/** Columns lined up; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd()
  return `${rows.map(line).join('\n')}\n`
}
