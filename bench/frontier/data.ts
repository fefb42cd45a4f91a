/**
 * bench/results/frontier.json: what arms cost and how fast they are, measured by two commands at different times.
 */
import { UsageError } from '../../src/tensor/errors.ts'
import type { Row } from '../peers/report.ts'
import type { ArmQuality, Quality } from './quality.ts'

/** The file. */
export interface Frontier {
  readonly speeds: Speeds
  readonly quality: Quality
}

/** How fast arms decode, and on what. */
export interface Speeds {
  readonly command: string
  readonly host: string
  /** Of the machine, before and after. */
  readonly load: readonly number[]
  readonly peers: Readonly<Record<string, string>>
  readonly model: string
  readonly arms: readonly ArmSpeed[]
}

/** Tokens per second of `tg32` on one thread: the median over rounds, and between which the middle half lies. */
type ArmSpeed = Pick<Row, 'arm' | 'tokensPerSecond' | 'lower' | 'upper'>

/** What `bench:peers --json` prints, as far as it is read. */
interface Printed extends Omit<Speeds, 'command' | 'arms'> {
  readonly rounds: number
  readonly rows: readonly Row[]
}

/** The speeds of what `bench:peers --json` printed. @throws UsageError SPEEDS if it is something else */
export function speedsOf(printed: unknown): Speeds {
  const { host, load, peers, model, rounds, rows } = printed as Partial<Printed>
  if (!host || !load || !peers || !model || !rounds || !Array.isArray(rows))
    throw new UsageError('SPEEDS', '--speeds: expected what "bench:peers --json" prints, got something else')
  const arms = (rows as readonly Row[])
    .filter(({ threads, test }) => threads === 1 && test === 'tg32')
    .map(({ arm, tokensPerSecond, lower, upper }): ArmSpeed => ({ arm, tokensPerSecond, lower, upper }))
  return {
    command: `npm run bench:peers -- --rounds ${rounds} --threads 1 --json`,
    host,
    load,
    peers,
    model,
    arms,
  }
}

/** An arm with its cost and its speed. */
export type FrontierArm = ArmQuality & ArmSpeed

const timedAs = ({ arm, timedAs = arm }: ArmQuality): string => timedAs

/** Every arm, in the order of costs. @throws UsageError SPEEDS if speeds and costs are of other arms */
export function armsOf({ speeds, quality }: Frontier): FrontierArm[] {
  const speedOf = new Map(speeds.arms.map((arm) => [arm.arm, arm]))
  const timed = new Set(quality.arms.map(timedAs))
  if (speedOf.size !== timed.size)
    throw new UsageError('SPEEDS', `speeds: expected ${timed.size} arms, got ${speedOf.size}`)
  return quality.arms.map((cost) => {
    const name = timedAs(cost)
    const speed = speedOf.get(name)
    if (!speed) throw new UsageError('SPEEDS', `speeds: expected an arm "${name}", got none`)
    return { ...speed, ...cost }
  })
}
