/**
 * Tasks under several methods, question by question: each is asked under all of them before the next one is, so that what
 * is finished at any time can be compared. Here, or as jobs of a few questions each; answers come in the order of the
 * questions.
 */
import type { MaskMode } from '../../engine/active_block.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import { methodHash } from '../../results/method_hash.ts'
import { Random } from '../../tensor/random.ts'
import type { Asked } from '../../data/tasks/prompts.ts'
import type { Metric } from '../../data/tasks/task.ts'
import { evaluate } from '../evaluate.ts'
import { evaluateDistributed } from '../jobs/evaluate_job.ts'
import { inputsFrom, type Method, type MethodSources } from '../../results/method.ts'
import type { EvaluatedText, MethodScore } from '../window_evaluator.ts'
import { answerOf, textsOf, type Answer } from './score.ts'

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
  /** Dense first. */
  readonly methods: readonly Method[]
  /** What they decide by. */
  readonly sources?: MethodSources
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

/** A question that was asked under every method. */
export interface AnsweredQuestion {
  /** The place of its task in the list. */
  readonly task: number
  /** One for each method, in their order. */
  readonly answers: readonly Answer[]
}

/** Where questions are asked in place of this thread, and of which model. */
export interface Distributed {
  readonly runner: JobRunner
  /** SHA-256 of the model's files. */
  readonly hash: string
}

/** Some questions of one task, which are asked at a time. */
interface QuestionBatch {
  /** Its place in the list. */
  readonly task: number
  readonly questions: readonly Asked[]
  /** What is scored of each. */
  readonly texts: readonly (readonly EvaluatedText[])[]
  /** Questions of the task before it, and with it. */
  readonly start: number
  readonly end: number
}

/**
 * Every question's answers, task by task.
 * @throws the signal's reason; as the runner; InputError SHARD_FORMAT for results that are none
 */
export async function* askTasks(
  asked: AskedTasks,
  listener: AskingListener,
  distributed: Distributed | null = null,
): AsyncGenerator<AnsweredQuestion, void, void> {
  const size = distributed?.runner.examplesPerJob ?? 1
  const batches = asked.tasks.flatMap((task, i) => cutTask(task, i, asked.seed, size))
  let next = 0
  for await (const scores of distributed
    ? scoreDistributed(asked, batches, distributed, listener)
    : scoreHere(asked, batches, listener)) {
    const { task, questions, texts } = batches[next++]
    let at = 0
    for (const [i, question] of questions.entries()) {
      // Its answers, and after them, under dense, which comes first, its answers after nothing.
      const own = at
      at += texts[i].length
      const alone = texts[i].length > 1 ? scores[0][own + 1] : null
      yield { task, answers: scores.map((row) => answerOf(question, row[own], alone)) }
    }
  }
}

/** The scores of each batch, by method, text and answer. */
async function* scoreHere(
  { model, tasks, methods, sources = {}, mode = 'auto' }: AskedTasks,
  batches: readonly QuestionBatch[],
  { tell, signal }: AskingListener,
): AsyncGenerator<MethodScore[][][], void, void> {
  const options = { inputsOf: inputsFrom(sources), mode, signal }
  for (const { task, texts, start, end } of batches) {
    const { name, asked } = tasks[task]
    tell(name, start, asked.length)
    const scores: MethodScore[][][] = []
    for await (const row of evaluate(model, methods, texts.flat(), options)) scores.push(row)
    yield scores
    if (end === asked.length) tell(name, end, end)
  }
}

/** The same from jobs, one for each batch, those of all tasks in one run, so that no worker waits between two tasks. */
async function* scoreDistributed(
  { model, tasks, methods, sources = {}, mode }: AskedTasks,
  batches: readonly QuestionBatch[],
  { runner, hash }: Distributed,
  { tell, signal }: AskingListener,
): AsyncGenerator<MethodScore[][][], void, void> {
  const jobModel = { model, hash, method: await methodHash() }
  const jobs = batches.map(({ texts }) => ({ methods, texts: texts.flat() }))
  // Some are done before others: so many are told of as if they were the first.
  const onDone = (done: number): void => {
    const { task, end } = batches[done - 1]
    tell(tasks[task].name, end, tasks[task].asked.length)
  }
  const options = { model: jobModel, inputsOf: inputsFrom(sources), mode, kind: 'ask' } as const
  yield* evaluateDistributed(jobs, options, runner, { signal, onDone })
}

/** A task in batches; each question has the seed that it would have in one run. */
function cutTask({ asked }: TaskRun, task: number, seed: number, size: number): QuestionBatch[] {
  const random = new Random(seed)
  const texts = asked.map((question) => textsOf(question, random.uint32()))
  return Array.from({ length: Math.ceil(asked.length / size) }, (_, i) => {
    const [start, end] = [i * size, Math.min(asked.length, (i + 1) * size)]
    return { task, start, end, questions: asked.slice(start, end), texts: texts.slice(start, end) }
  })
}
