/**
 * Arms on windows: what each continuation costs under the mask each arm decides from the prompt.
 *
 * Windows are scored in blocks, and a block counts once every arm has scored it; so whatever is reported compares arms
 * on the same windows, a stopped run included. A block of an arm is one part of the store. Where the lab has a runner of
 * shards, those are what is not in the store yet, and the numbers are the same.
 */
import type { Arm } from './method.ts'
import { describeBlock, makeBlocks, type Block } from './window_batch.ts'
import { scoreElsewhere } from './distributed.ts'
import type { Lab } from './experiment_cache.ts'
import { prepareArm } from './prepare.ts'
import { Subject, type ScoredWindow } from './window_evaluator.ts'

/** An arm and its windows, in the order of the windows. */
export interface MeasuredArm {
  readonly arm: Arm
  readonly scores: readonly ScoredWindow[]
}

/** Windows of one part of the store. Without a store nothing is kept, and every window is a block. */
const storedBlock = 8

/**
 * Scores every arm on the first `count` evaluation windows of a seed.
 * @throws the signal's reason; what was finished is kept in `onBlock` and in the store
 */
export async function measureArms(
  lab: Lab,
  arms: readonly Arm[],
  count: number,
  seed: number,
  onBlock: (measured: readonly MeasuredArm[]) => void = () => {},
): Promise<MeasuredArm[]> {
  const windows = lab.windows('evaluate', count, seed)
  const { store, runner } = lab.options
  const blocks = makeBlocks(windows, store || runner ? storedBlock : 1, seed)
  const total = arms.length * windows.length
  const onScore = (done: number): void => lab.tell('evaluate', done, total)
  const found: ScoredWindow[][] = arms.map(() => [])
  const scored = runner
    ? scoreElsewhere(lab, runner, { arms, blocks, seed }, onScore)
    : scoreHere(lab, arms, blocks, seed, onScore)
  for await (const block of scored) {
    block.forEach((scores, i) => found[i].push(...scores))
    onBlock(arms.map((arm, i) => ({ arm, scores: found[i] })))
  }
  lab.tell('evaluate', total, total)
  return arms.map((arm, i) => ({ arm, scores: found[i] }))
}

async function* scoreHere(
  lab: Lab,
  arms: readonly Arm[],
  blocks: readonly Block[],
  seed: number,
  onScore: (done: number) => void,
): AsyncGenerator<ScoredWindow[][], void, void> {
  const { store } = lab.options
  let done = 0
  for (const block of blocks) {
    const subjects = block.windows.map((window, i) => new Subject(lab.model, window, block.seeds[i]))
    const results: ScoredWindow[][] = []
    for (const arm of arms) {
      const score = async (): Promise<ScoredWindow[]> => {
        const decider = await prepareArm(lab, arm, seed)
        const scores: ScoredWindow[] = []
        for (const subject of subjects) {
          await lab.pause()
          scores.push(subject.score(arm, decider))
          onScore(done + scores.length)
        }
        return scores
      }
      const kept = store && (await store.json(await describeBlock(lab, block, arm, seed), score))
      results.push(kept ?? (await score()))
      onScore((done += block.windows.length))
    }
    yield results
  }
}
