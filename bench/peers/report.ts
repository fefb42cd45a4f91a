/**
 * What was measured, as tables and as JSON.
 */
import { median } from '../../src/results/interleaved_rounds.ts'
import { figure, ratios, table } from '../timing.ts'
import type { LoadedArm, Timed } from './measure.ts'

/** What is said of an arm whose model may be gone. */
export type TimedArm = Omit<LoadedArm, 'decoder'>

/** What is said of an arm. */
export function withoutModel(arm: LoadedArm): TimedArm {
  const { decoder, ...about } = arm
  void decoder
  return about
}

/** Arms that took turns with each other; those of this project come first. */
export interface Group {
  readonly model: string
  readonly ours: readonly TimedArm[]
  readonly peers: readonly TimedArm[]
  readonly timed: readonly Timed[]
}

/** One arm at one task. */
export interface Row {
  readonly model: string
  readonly arm: string
  readonly engine: string
  /** A storage of this project, or the peer's own word. */
  readonly weights: string
  /** The share of heads and neurons that was left out. */
  readonly sparsity: number
  /** The share of heads, where it was another. */
  readonly headSparsity?: number
  readonly threads: number
  readonly test: string
  /** Over rounds: the median, and between which the middle half lies. */
  readonly tokensPerSecond: number
  readonly lower: number
  readonly upper: number
  readonly samples: readonly number[]
  /** Milliseconds of a token outside the engine's own clock, which are not in the rate; null where it has none. */
  readonly outside: number | null
  /** Of the logits, as a share of the largest; 0 for equal logits, null if not compared. */
  readonly error: number | null
}

/** How many times as fast an arm of ours is as a peer: quartiles over rounds. */
export interface Ratio {
  readonly model: string
  readonly ours: string
  readonly peer: string
  readonly threads: number
  readonly test: string
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** Decoding with units left out, over dense decoding in the same storage, and over what it would be if only weights took time. */
export interface Skipping {
  readonly model: string
  readonly arm: string
  readonly threads: number
  readonly test: string
  /** Over rounds. */
  readonly timesDense: number
  /** The bytes of weights that a token of the dense model reads, over those that it reads. */
  readonly weightsRatio: number
  /** The first over the second. */
  readonly share: number
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
export function rowsOf({ model, ours, peers, timed }: Group): Row[] {
  return [...ours, ...peers].flatMap(({ name, engine, weights, sparsity, headSparsity, threads, error }, i) =>
    timed.map(({ test, rates }): Row => {
      const { samples: perMillisecond, outside } = rates[i]
      const samples = perMillisecond.map((rate) => rate * PER_SECOND)
      const [lower, upper] = quartiles(samples)
      const skipped = { sparsity, ...(headSparsity !== undefined && { headSparsity }) }
      const about = { model, arm: name, engine, weights, ...skipped, threads, test }
      const speed = { tokensPerSecond: median(samples), lower, upper, samples }
      return { ...about, ...speed, outside: outside ? median(outside) : null, error }
    }),
  )
}

/** Every arm of ours over every peer of its group. */
export function ratiosOf({ model, ours, peers, timed }: Group): Ratio[] {
  return ours.flatMap((our, i) =>
    peers.flatMap((peer, j) =>
      timed.map(({ test, rates }): Ratio => {
        const values = ratios(rates[i], rates[ours.length + j])
        const [lower, upper] = quartiles(values)
        const pair = { model, ours: our.name, peer: peer.name, threads: peer.threads, test }
        return { ...pair, median: median(values), lower, upper }
      }),
    ),
  )
}

/** Every arm of ours that leaves units out, at every task of single tokens. */
export function skippingOf({ model, ours, timed }: Group): Skipping[] {
  return ours.flatMap(({ name, weights, threads, sparsity, weightsRead }, i) => {
    const dense = ours.findIndex((one) => one.weights === weights && one.sparsity === 0)
    const whole = ours[dense]?.weightsRead
    if (sparsity === 0 || !weightsRead || !whole) return []
    return timed
      .filter(({ test }) => test.startsWith('tg'))
      .map(({ test, rates }): Skipping => {
        const timesDense = median(ratios(rates[i], rates[dense]))
        const weightsRatio = whole / weightsRead
        const share = timesDense / weightsRatio
        return { model, arm: name, threads, test, timesDense, weightsRatio, share }
      })
  })
}

function skippingTable(all: readonly Skipping[]): string {
  const head = ['test, units left out', 'times dense', 'ratio of weights read', 'of that ratio']
  const cells = all.map(({ arm, test, timesDense, weightsRatio, share }) => [
    `${test}, ${arm}`,
    timesDense.toFixed(2),
    weightsRatio.toFixed(2),
    share.toFixed(2),
  ])
  return table([head, ...cells])
}

/** The tables of a group: tokens per second, for each test ours over every peer, and what leaving units out gives. */
export function tablesOf(group: Group): string {
  const { ours, peers, timed } = group
  const tests = timed.map(({ test }) => test)
  const rows = rowsOf(group)
  const outside = (cell: Row): string => (cell.outside === null ? '' : cell.outside.toFixed(2))
  const speeds = [...ours, ...peers].map(({ name, threads, error }, i) => [
    name,
    String(threads),
    ...timed.map(({ rates }) => figure(rates[i], PER_SECOND)),
    ...rows.slice(i * tests.length, (i + 1) * tests.length).map(outside),
    error === null ? 'not compared' : error.toExponential(1),
  ])
  const beside = tests.map((test) => `${test}: ms beside`)
  const head = ['tokens/s: median (best)', 'threads', ...tests, ...beside, 'error of logits']
  const all = ratiosOf(group)
  const shares = tests.map((test) =>
    table([
      [`${test}, times as fast as: median (quartiles)`, ...peers.map(({ name }) => name)],
      ...ours.map(({ name }) => [
        name,
        ...all
          .filter((one) => one.ours === name && one.test === test)
          .map(
            ({ median, lower, upper }) => `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`,
          ),
      ]),
    ]),
  )
  const skipping = skippingOf(group)
  return [
    table([head, ...speeds]),
    ...(peers.length > 0 ? shares : []),
    ...(skipping.length > 0 ? [skippingTable(skipping)] : []),
  ].join('\n')
}
