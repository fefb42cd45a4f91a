/**
 * Choice tasks asked by shards: a few questions under all configurations each, the questions of all tasks in one run, so
 * that nobody waits between two tasks. Answers come in the order of the questions, whoever gives them and when.
 */
import type { ShardRunner } from '../../jobs/runner.ts'
import { Random } from '../../tensor/random.ts'
import { methodHash } from '../../results/method_hash.ts'
import { askShards, type AskedPiece } from '../jobs/ask.ts'
import { parseAnswers } from '../jobs/questions.ts'
import type { AnsweredQuestion, AskedTasks, AskingListener, TaskRun } from './asking.ts'

/** Who asks, and which model. */
export interface Elsewhere {
  readonly runner: ShardRunner
  /** SHA-256 of the model's files. */
  readonly hash: string
}

/** A piece of one task. */
interface TaskPiece extends AskedPiece {
  /** Its place in the list. */
  readonly task: number
  /** Questions of the task up to here. */
  readonly end: number
}

/** Every question's answers, task by task. @throws as the runner; InputError SHARD_FORMAT for results that are none */
export async function* askElsewhere(
  { model, tasks, configurations, mode, seed }: AskedTasks,
  { runner, hash }: Elsewhere,
  { tell, signal }: AskingListener,
): AsyncGenerator<AnsweredQuestion, void, void> {
  const pieces = tasks.flatMap((task, i) => cutTask(task, i, seed, runner.examplesPerShard))
  const shardModel = { model, hash, method: await methodHash() }
  const shards = await askShards({ model: shardModel, configurations, mode }, pieces, runner.store)
  // Some are done before others: so many are told of as if they were the first.
  const onShard = (done: number): void => {
    const { task, end } = pieces[done - 1]
    tell(tasks[task].name, end, tasks[task].asked.length)
  }
  const expected = { rows: configurations.list.length, layers: model.shape.layers }
  let next = 0
  for await (const result of runner.run(shards, { signal, onShard })) {
    const { task, questions } = pieces[next++]
    for (const answers of parseAnswers(result, { ...expected, questions })) yield { task, answers }
  }
}

/** The pieces of a task, each with the seeds that its questions would have in one run. */
function cutTask({ asked }: TaskRun, task: number, seed: number, size: number): TaskPiece[] {
  const random = new Random(seed)
  const seeds = asked.map(() => random.uint32())
  return Array.from({ length: Math.ceil(asked.length / size) }, (_, i) => {
    const [start, end] = [i * size, Math.min(asked.length, (i + 1) * size)]
    return { task, end, questions: asked.slice(start, end), seeds: seeds.slice(start, end) }
  })
}
