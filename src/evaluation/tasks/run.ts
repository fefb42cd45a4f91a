/**
 * Tasks under several methods at once, and a report with the keys of lm-evaluation-harness.
 *
 * `results` is the dense model's, key by key what the harness writes (`acc,none`, `acc_stderr,none`, ...). `rows` has
 * the same numbers for every method, dense included, with what each really skipped and how often its choice is
 * the dense one's. A question counts when every row has answered it.
 */
import type { JobRunner } from '../../jobs/runner.ts'
import type { AchievedSparsity } from '../../masks/achieved.ts'
import type { Prefill } from '../../masks/planner.ts'
import { now } from '../../platform/platform.ts'
import { modeOption } from '../../engine/active_layer.ts'
import {
  methodRow,
  methodsOption,
  prefillOf,
  sourcesOption,
  type Method,
  type MethodRow,
} from '../../results/method.ts'
import {
  checkOptions,
  expectListener,
  kinds,
  listOption,
  orNull,
  recordOption,
  required,
  seedOption,
  type Kinds,
} from '../../tensor/option.ts'
import { meanAchieved } from '../tally.ts'
import type { Metric } from '../../data/tasks/task.ts'
import type { Provenance } from '../../results/provenance.ts'
import { askTasks, type AskedTasks, type TaskProgress, type TaskRun } from './asking.ts'
import { accuracyOf, accuracyOver, meanAccuracy, type Accuracy, type Answer } from './score.ts'

/** The numbers of one task in one row, by the keys of lm-evaluation-harness; "N/A" as it writes it. */
export type TaskScores = Readonly<Record<string, number | string>>

/** One task under one method. */
export interface TaskRow extends MethodRow {
  /** The name of the task. */
  readonly task: string
  readonly leaky: boolean
  /** Whether the prompt ran dense, or under the mask. */
  readonly prefill: Prefill
  readonly seed: number
  /** Skipped shares of the whole model and of each layer, averaged over questions. */
  readonly achieved: AchievedSparsity
  /** The metrics of the task and their standard errors, such as `acc,none`. */
  readonly scores: TaskScores
  /** By how much each share is more than the dense one, question by question. */
  readonly overDense: Readonly<Partial<Record<Metric, Accuracy>>>
  /** Share of questions in which the choice of `acc` is the dense one's. */
  readonly agreement: number
  /** How many questions were answered. */
  readonly questions: number
}

/** One question under one method, by which each number of a report can be held to another program. */
export interface TaskSample extends MethodRow {
  readonly task: string
  /** Where the question is from. */
  readonly place: string
  /** The log-likelihood of each answer, in nats. */
  readonly logLikelihoods: readonly number[]
  readonly gold: number
  /** Whether each metric takes the right answer: 1 or 0. */
  readonly scores: Readonly<Partial<Record<Metric, 0 | 1>>>
}

/** `acc` of all tasks, each counted alike, and by how much it is more than the dense one. */
export interface TaskMean {
  readonly planner: string
  readonly sparsity: number
  readonly acc: number
  /** One standard error; null where a task has one question. */
  readonly error: number | null
  readonly overDense: Accuracy
}

/** The results, of a finished run or of a stopped one. */
export interface TasksReport {
  /** The scores of the dense model, by task. */
  readonly results: Readonly<Record<string, TaskScores>>
  /** Every task under every method. */
  readonly rows: readonly TaskRow[]
  /** Mean of `acc` over tasks, by row. */
  readonly means: readonly TaskMean[]
  readonly configs: Readonly<Record<string, TaskRun['config']>>
  readonly versions: Readonly<Record<string, number>>
  readonly 'n-shot': Readonly<Record<string, number>>
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>
  readonly 'n-samples': Readonly<
    Record<string, { readonly original: number; readonly effective: number; readonly left_out: number }>
  >
  /** Every question under every method, where that is asked for. */
  readonly samples?: readonly TaskSample[]
  readonly config: Readonly<Record<string, string | number | boolean | null>>
  readonly provenance: Provenance
  /** Whether the run was not stopped. */
  readonly complete: boolean
  /** How long it took. */
  readonly seconds: number
}

/** How tasks are run. */
export interface RunOptions extends AskedTasks {
  /** Of the whole run, for the report. */
  readonly config: TasksReport['config']
  /** Jobs name the model by its hash. */
  readonly provenance: Provenance
  /** Whether the report has every question. */
  readonly logsSamples?: boolean
  /** Asks in place of this thread, with the same numbers. */
  readonly runner?: JobRunner | null
}

const taskFields: Kinds<Pick<TaskRun, 'name' | 'metrics' | 'asked' | 'leftOut'>> = {
  name: required(kinds.text),
  metrics: required(kinds.texts),
  asked: required(kinds.list),
  leftOut: required(kinds.list),
}
const runFields: Kinds<RunOptions> = {
  model: required(kinds.model),
  tasks: required(listOption('a list of tasks of prepareTask', recordOption('a task', taskFields))),
  methods: required(methodsOption),
  sources: sourcesOption,
  seed: required(seedOption),
  mode: modeOption,
  config: required(kinds.object),
  provenance: required(kinds.object),
  logsSamples: kinds.flag,
  runner: orNull(kinds.object),
}

/**
 * Measures accuracy on choice tasks: asks every question under every method, as `shadowllm eval` does. `compareMethods` makes the methods.
 * @param signal stops it; what was finished is reported
 * @param onProgress is called after each question, with its task
 * @throws UsageError OPTIONS, OPTION_NAME, OPTION_TYPE and SEED for options of other names or types; what the runner throws, if one asks
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { compareMethods, hashFiles, makeProvenance, prepareTask, runTasks } from 'shadowllm/eval'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model, config, tokenizer, prefixIds } = opt
 * if (tokenizer === null) throw new Error('no tokenizer')
 *
 * // Three questions: which of four texts goes on?
 * const text = 'Once upon a time, there was a little dog who liked to play in the park. '.repeat(20)
 * const { task, source } = await prepareTask('continuation', {
 *   config,
 *   encode: (words) => opt.encode(words),
 *   decode: (ids) => tokenizer.decode(ids),
 *   documents: () => Promise.resolve({ name: 'dog', documents: [{ name: 'dog', genre: 'story', text }] }),
 *   prefixIds,
 *   prompt: 32,
 *   continuation: 8,
 *   limit: 3,
 * })
 *
 * const methods = compareMethods(model, { planners: ['random', 'griffin'], sparsities: [0.5] })
 * const hash = await hashFiles(opt.files)
 * const of = { backend: model.backend, model: { name: opt.name, hash }, data: source, seed: 0, argv: [] }
 * const provenance = await makeProvenance(of)
 * const report = await runTasks({ model, tasks: [task], methods, seed: 0, config: {}, provenance })
 * for (const { planner, scores, agreement } of report.rows) console.log(planner, scores['acc,none'], agreement)
 * await opt.dispose()
 * ```
 */
export async function runTasks(
  options: RunOptions,
  onProgress: TaskProgress = () => {},
  signal?: AbortSignal,
): Promise<TasksReport> {
  checkOptions(options, runFields)
  expectListener(onProgress, signal)
  const started = now()
  const answers = options.tasks.map(() => options.methods.map((): Answer[] => []))
  let complete = false
  try {
    const { runner, provenance } = options
    const distributed = runner ? { runner, hash: provenance.model.hash } : null
    const answered = askTasks(options, { tell: onProgress, signal }, distributed)
    for await (const question of answered)
      answers[question.task].forEach((row, i) => row.push(question.answers[i]))
    complete = true
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error
  }
  return makeReport(options, answers, complete, (now() - started) / 1000)
}

function makeReport(
  { tasks, methods, seed, config, provenance, logsSamples = false }: RunOptions,
  answers: readonly (readonly Answer[][])[],
  complete: boolean,
  seconds: number,
): TasksReport {
  const begun = tasks.flatMap((task, i) => (answers[i][0].length > 0 ? [{ task, rows: answers[i] }] : []))
  const rows = begun.flatMap(({ task, rows: all }) =>
    methods.map((method, i): TaskRow => {
      const mine = all[i]
      const agreed = mine.filter(({ chosen }, question) => chosen.acc === all[0][question].chosen.acc).length
      return {
        task: task.name,
        ...methodRow(method),
        leaky: method.leaky ?? false,
        prefill: prefillOf(method),
        seed,
        achieved: meanAchieved(mine.map(({ achieved }) => achieved)),
        scores: scoresOf(task, mine),
        overDense: Object.fromEntries(
          task.metrics.map((metric) => [metric, accuracyOver(mine, all[0], metric)]),
        ),
        agreement: agreed / mine.length,
        questions: mine.length,
      }
    }),
  )
  const meanOfTasks = (method: Method, i: number): TaskMean => {
    const shares = begun.map(({ rows: all }) => accuracyOf(all[i], 'acc'))
    const overDense = begun.map(({ rows: all }) => accuracyOver(all[i], all[0], 'acc'))
    const { planner, sparsity } = method
    const { value: acc, error } = meanAccuracy(shares)
    return { planner, sparsity, acc, error, overDense: meanAccuracy(overDense) }
  }
  const byTask = <T>(value: (task: TaskRun, count: number) => T): Record<string, T> =>
    Object.fromEntries(begun.map(({ task, rows: all }) => [task.name, value(task, all[0].length)]))
  return {
    results: Object.fromEntries(
      rows.filter(({ planner }) => planner === 'dense').map(({ task, scores }) => [task, scores]),
    ),
    rows,
    means: begun.length > 0 ? methods.map(meanOfTasks) : [],
    configs: byTask(({ config: one }) => one),
    versions: byTask(({ version }) => version),
    'n-shot': byTask(({ shots }) => shots),
    higher_is_better: byTask(({ metrics }) => Object.fromEntries(metrics.map((metric) => [metric, true]))),
    'n-samples': byTask(({ original, leftOut }, effective) => ({
      original,
      effective,
      left_out: leftOut.length,
    })),
    ...(logsSamples && {
      samples: begun.flatMap(({ task, rows: all }) =>
        methods.flatMap((method, i) => all[i].map((answer, k) => sampleOf(task, method, k, answer))),
      ),
    }),
    config,
    provenance,
    complete,
    seconds,
  }
}

function sampleOf({ name, asked, metrics }: TaskRun, method: Method, k: number, answer: Answer): TaskSample {
  const { logLikelihoods, chosen, gold } = answer
  const scores = metrics.map((metric) => [metric, chosen[metric] === gold ? 1 : 0])
  return {
    task: name,
    ...methodRow(method),
    place: asked[k].place,
    logLikelihoods,
    gold,
    scores: Object.fromEntries(scores) as TaskSample['scores'],
  }
}

function scoresOf({ name, metrics }: TaskRun, answers: readonly Answer[]): TaskScores {
  const scores: Record<string, number | string> = { alias: name }
  for (const metric of metrics) {
    const { value, error } = accuracyOf(answers, metric)
    scores[`${metric},none`] = value
    scores[`${metric}_stderr,none`] = error ?? 'N/A'
  }
  return scores
}
