/**
 * Tasks under several methods, question by question: each is asked under all of them before the next one is, so that what
 * is finished at any time can be compared. Here, or as jobs of a few questions each; answers come in the order of the
 * questions.
 */
import type { SequenceOptions } from '../../engine/sequence.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import { methodHash } from '../../results/method_hash.ts'
import { Random } from '../../tensor/random.ts'
import type { Asked } from '../../data/tasks/prompts.ts'
import type { Task } from '../../data/tasks/task.ts'
import { evaluateJobs } from '../jobs/evaluate_job.ts'
import { inputsFrom, type Method, type MethodSources } from '../../results/method.ts'
import type { EvaluatedText, MethodScore } from '../window_evaluator.ts'
import { answerOf, textsOf, type Answer } from './score.ts'

/** A task made ready. */
export interface TaskRun extends Pick<Task, 'name' | 'version' | 'metrics'> {
  /** Solved examples before each question. */
  readonly shots: number
  /** How many questions there were before any limit. */
  readonly original: number
  /** The questions as tokens, in the order in which they are asked. */
  readonly asked: readonly Asked[]
  /** Where questions are from that no context of the model has room for. */
  readonly leftOut: readonly string[]
  /** Further facts for the report: the files of rows, sizes. */
  readonly config: Readonly<Record<string, string | number | boolean | null>>
}

/** Tasks, and how they are asked. */
export interface AskedTasks extends Pick<SequenceOptions, 'mode'> {
  /** The model that is asked. */
  readonly model: LanguageModel
  /** What `prepareTask` made ready. */
  readonly tasks: readonly TaskRun[]
  /** Dense first. */
  readonly methods: readonly Method[]
  /** The inputs of planners. */
  readonly sources?: MethodSources
  /** Of random masks; each task begins with it. */
  readonly seed: number
}

/** The progress of a run, in questions. */
export type TaskProgress = (task: string, done: number, total: number) => void

/** The listener of a run, and the signal that stops it. */
interface AskingListener {
  readonly tell: TaskProgress
  readonly signal?: AbortSignal
}

/** A question that was asked under every method. */
interface AnsweredQuestion {
  /** The place of its task in the list. */
  readonly task: number
  /** One for each method, in their order. */
  readonly answers: readonly Answer[]
}

/** A runner that asks in place of this thread, and the SHA-256 of the model's files. */
interface AskingRunner {
  readonly runner: JobRunner
  readonly hash: string
}

/** Some questions of one task, which are asked at a time. */
interface QuestionBatch {
  /** Its place in the list. */
  readonly task: number
  readonly questions: readonly Asked[]
  /** The texts of each that are scored. */
  readonly texts: readonly (readonly EvaluatedText[])[]
  /** Questions of the task up to the last one of this batch. */
  readonly end: number
}

/**
 * The answers of every question, task by task.
 * @throws the signal's reason; as `evaluateJobs`
 */
export async function* askTasks(
  { model, tasks, methods, sources = {}, mode, seed }: AskedTasks,
  { tell, signal }: AskingListener,
  distributed: AskingRunner | null = null,
): AsyncGenerator<AnsweredQuestion, void, void> {
  const size = distributed?.runner.examplesPerJob ?? 1
  const batches = tasks.flatMap((task, i) => cutTask(task, i, seed, size))
  const jobs = batches.map(({ texts }) => ({ methods, texts: texts.flat() }))
  // A runner finishes jobs in any order: progress is told as if the first ones were done.
  const onJob = (done: number): void => {
    const { task, end } = batches[done - 1]
    tell(tasks[task].name, end, tasks[task].asked.length)
  }
  const place = distributed && {
    runner: distributed.runner,
    model: { model, hash: distributed.hash, method: await methodHash() },
  }
  const options = { inputsOf: inputsFrom(sources), mode, kind: 'ask', signal, onJob } as const
  const [first] = tasks
  if (first) tell(first.name, 0, first.asked.length)
  let next = 0
  let scores: MethodScore[][][] = []
  for await (const row of evaluateJobs(model, jobs, options, place)) {
    scores.push(row)
    if (scores.length < methods.length) continue
    const { task, questions, texts } = batches[next++]
    let at = 0
    for (const [i, question] of questions.entries()) {
      // The answers of the question come first. Dense, the first method, has the answers after nothing behind them.
      const own = at
      at += texts[i].length
      const alone = texts[i].length > 1 ? scores[0][own + 1] : null
      yield { task, answers: scores.map((of) => answerOf(question, of[own], alone)) }
    }
    scores = []
  }
}

/** A task in batches; each question has the seed that it would have in one run. */
function cutTask({ asked }: TaskRun, task: number, seed: number, size: number): QuestionBatch[] {
  const random = new Random(seed)
  const texts = asked.map((question) => textsOf(question, random.uint32()))
  return Array.from({ length: Math.ceil(asked.length / size) }, (_, i) => {
    const [start, end] = [i * size, Math.min(asked.length, (i + 1) * size)]
    return { task, end, questions: asked.slice(start, end), texts: texts.slice(start, end) }
  })
}
