/**
 * What was measured, as tables and as JSON.
 */
import { median } from '../../src/results/interleaved_rounds.ts'
import { figure, ratios, table } from '../timing.ts'
import type { LoadedArm, Timed } from './measure.ts'

/** Arms that took turns with each other; those of this project come first. */
export interface Group {
  readonly ours: readonly LoadedArm[]
  readonly peers: readonly LoadedArm[]
  readonly timed: readonly Timed[]
}

/** One arm at one task. */
export interface Row {
  readonly arm: string
  readonly threads: number
  readonly test: string
  readonly tokensPerSecond: number
  readonly samples: readonly number[]
  /** Of the logits, as a share of the largest; 0 for the arm the others are held against, null if not compared. */
  readonly error: number | null
}

/** How many times as fast an arm of ours is as a peer: quartiles over rounds. */
export interface Ratio {
  readonly ours: string
  readonly peer: string
  readonly peerThreads: number
  readonly test: string
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** Tokens per second from tokens per millisecond. */
const PER_SECOND = 1000

/** Between which the middle half of the values lies. */
function quartiles(values: readonly number[]): readonly [lower: number, upper: number] {
  const sorted = values.toSorted((a, b) => a - b)
  const last = sorted.length - 1
  return [sorted[Math.floor(last / 4)], sorted[Math.ceil((3 * last) / 4)]]
}

/** Every arm of a group at every task. */
export function rowsOf({ ours, peers, timed }: Group): Row[] {
  return [...ours, ...peers].flatMap(({ name, threads, error }, i) =>
    timed.map(({ test, rates }): Row => {
      const samples = rates[i].samples.map((rate) => rate * PER_SECOND)
      return { arm: name, threads, test, tokensPerSecond: median(samples), samples, error }
    }),
  )
}

/** Every arm of ours over every peer of its group. */
export function ratiosOf({ ours, peers, timed }: Group): Ratio[] {
  return ours.flatMap((our, i) =>
    peers.flatMap((peer, j) =>
      timed.map(({ test, rates }): Ratio => {
        const values = ratios(rates[i], rates[ours.length + j])
        const [lower, upper] = quartiles(values)
        const pair = { ours: our.name, peer: peer.name, peerThreads: peer.threads, test }
        return { ...pair, median: median(values), lower, upper }
      }),
    ),
  )
}

/** The two tables of a group: tokens per second, and ratios. */
export function tablesOf(group: Group): string {
  const { ours, peers, timed } = group
  const tests = timed.map(({ test }) => test)
  const speeds = [...ours, ...peers].map(({ name, threads, error }, i) => [
    name,
    String(threads),
    ...timed.map(({ rates }) => figure(rates[i], PER_SECOND)),
    error === null ? 'not compared' : error.toExponential(1),
  ])
  const all = ratiosOf(group)
  const shares = ours.flatMap((our) =>
    peers.map((peer) => [
      `${our.name} / ${peer.name}`,
      ...all
        .filter((one) => one.ours === our.name && one.peer === peer.name)
        .map(
          ({ median, lower, upper }) => `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`,
        ),
    ]),
  )
  const head = ['tokens/s: median (best)', 'threads', ...tests, 'error of logits']
  const ratioHead = ['times as fast: median (quartiles)', ...tests]
  return `${table([head, ...speeds])}\n${table([ratioHead, ...shares])}`
}
