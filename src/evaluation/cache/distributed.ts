/**
 * Blocks of windows scored by shards: what the part store does not have yet is asked of a runner, a few windows under all
 * arms that lack them in each shard, so that what arms have in common is computed once there too.
 */
import type { ShardRunner } from '../../jobs/runner.ts'
import type { Shard } from '../../jobs/shard.ts'
import type { PartDescription } from '../../results/part_store.ts'
import { scoreResult, scoreShard } from '../jobs/score.ts'
import type { Arm } from './method.ts'
import { describeBlock, type Block } from './window_batch.ts'
import type { Lab } from './experiment_cache.ts'
import { prepareArm } from './prepare.ts'
import type { Decider, ScoredWindow } from './window_evaluator.ts'

/** What is scored. */
export interface ElsewhereRequest {
  readonly arms: readonly Arm[]
  readonly blocks: readonly Block[]
  readonly seed: number
}

/** Windows in a shard. */
const piece = 2

/** A block, the arms it lacks, and how many shards bring them. */
interface Open {
  readonly block: Block
  readonly descriptions: readonly PartDescription[]
  /** What is known of each arm; null for those that shards bring. */
  readonly known: readonly (ScoredWindow[] | null)[]
  readonly lacking: readonly number[]
  readonly shards: readonly Shard[]
}

/** Each block's scores under every arm, in order. @throws as the runner */
export async function* scoreElsewhere(
  lab: Lab,
  runner: ShardRunner,
  request: ElsewhereRequest,
  onScore: (done: number) => void,
): AsyncGenerator<ScoredWindow[][], void, void> {
  const { arms, blocks } = request
  const deciders = new Map<Arm, Decider>()
  const open: Open[] = []
  for (const block of blocks) open.push(await openBlock(lab, runner, request, block, deciders))
  const shards = open.flatMap((one) => one.shards)
  const total = arms.length * blocks.reduce((sum, { windows }) => sum + windows.length, 0)
  const asked = open.reduce((sum, { block, lacking }) => sum + block.windows.length * lacking.length, 0)
  const results = runner.run(shards, {
    signal: lab.options.signal,
    onShard: (done, all) => onScore(total - asked + Math.round((asked * done) / all)),
  })
  try {
    for (const { block, descriptions, known, lacking, shards: own } of open) {
      const scores = known.map((one) => one ?? [])
      for (let i = 0; i < own.length; i++) {
        const { value } = await results.next()
        const windows = block.windows.slice(i * piece, (i + 1) * piece).length
        const found = scoreResult(value as Uint8Array, lacking.length, windows)
        lacking.forEach((arm, row) => scores[arm].push(...found[row]))
      }
      for (const arm of lacking) await lab.options.store?.json(descriptions[arm], () => scores[arm])
      yield scores
    }
    // The runner has its own end: there it says what failed.
    await results.next()
  } finally {
    await results.return()
  }
}

async function openBlock(
  lab: Lab,
  { store }: ShardRunner,
  { arms, seed }: ElsewhereRequest,
  block: Block,
  deciders: Map<Arm, Decider>,
): Promise<Open> {
  await lab.pause()
  const descriptions: PartDescription[] = []
  const known: (ScoredWindow[] | null)[] = []
  for (const arm of arms) {
    descriptions.push(await describeBlock(lab, block, arm, seed))
    known.push((await lab.options.store?.stored<ScoredWindow[]>(descriptions[known.length])) ?? null)
  }
  const lacking = [...arms.keys()].filter((i) => known[i] === null)
  for (const i of lacking)
    if (!deciders.has(arms[i])) deciders.set(arms[i], await prepareArm(lab, arms[i], seed))
  const shards: Shard[] = []
  for (let start = 0; lacking.length > 0 && start < block.windows.length; start += piece) {
    const subjects = block.windows.slice(start, start + piece)
    const own = lacking.map((i) => ({ arm: arms[i], decider: deciders.get(arms[i]) as Decider }))
    const seeds = block.seeds.slice(start, start + piece)
    shards.push(await scoreShard(lab.shardModel, subjects, seeds, own, store))
  }
  return { block, descriptions, known, lacking, shards }
}
