/**
 * Tasks under several configurations, question by question: each is asked under all of them before the next one is, so
 * that what is finished at any time can be compared.
 */
import type { MaskMode } from '../../engine/active_block.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { Random } from '../../tensor/random.ts'
import type { Configurations } from '../configurations.ts'
import type { Asked } from '../../data/tasks/prompts.ts'
import { answerInRows, type Answer } from './score.ts'
import type { Metric } from '../../data/tasks/task.ts'

/** A task made ready. */
export interface TaskRun {
  readonly name: string
  readonly version: number
  readonly metrics: readonly Metric[]
  readonly shots: number
  /** How many questions there were before any limit. */
  readonly original: number
  readonly asked: readonly Asked[]
  /** Where questions are from that no context of the model has room for. */
  readonly leftOut: readonly string[]
  /** What else is worth keeping: where rows are from, sizes. */
  readonly config: Readonly<Record<string, string | number | boolean | null>>
}

/** What is asked, and how. */
export interface AskedTasks {
  readonly model: OptModel
  readonly tasks: readonly TaskRun[]
  readonly configurations: Configurations
  readonly mode?: MaskMode
  /** Of random masks; each task begins with it. */
  readonly seed: number
}

/** How far a run is, in questions. */
export type TaskProgress = (task: string, done: number, total: number) => void

/** Who is told, and who may stop it. */
export interface AskingListener {
  readonly tell: TaskProgress
  readonly signal?: AbortSignal
}

/** A question that every configuration has answered. */
export interface AnsweredQuestion {
  /** The place of its task in the list. */
  readonly task: number
  /** One for each configuration, in their order. */
  readonly answers: readonly Answer[]
}

/** Every question's answers, task by task. @throws the signal's reason */
export async function* askHere(
  { model, tasks, configurations, mode, seed }: AskedTasks,
  { tell, signal }: AskingListener,
): AsyncGenerator<AnsweredQuestion, void, void> {
  for (const [task, { name, asked }] of tasks.entries()) {
    const seeds = new Random(seed)
    for (const [done, question] of asked.entries()) {
      tell(name, done, asked.length)
      const rows = { configurations, maskSeed: seeds.uint32(), mode, signal }
      yield { task, answers: await answerInRows(model, question, rows) }
    }
    tell(name, asked.length, asked.length)
  }
}
