/**
 * `shadowllm eval`: choice tasks, asked as lm-evaluation-harness asks them, dense and with units skipped.
 */
import type { Command } from 'commander'
import { hashFiles, hashTexts, makeProvenance, modelSource, type Source } from '../../results/provenance.ts'
import { continuationName } from '../../data/tasks/continuation.ts'
import { tasks } from '../../data/tasks/index.ts'
import { prepareTask, type PrepareOptions } from '../../evaluation/tasks/prepare.ts'
import { runTasks, type RunOptions, type TaskRow, type TasksReport } from '../../evaluation/tasks/run.ts'
import { brownForEvaluation, readDocuments } from '../../data/texts.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { InputError, UsageError } from '../../tensor/errors.ts'
import { addFlags, type ModelFlags, type SharedFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import { checkOutput } from '../output.ts'
import { addPlannerFlags, withMethods, type PlannerFlags } from '../planner_flags.ts'
import { addQueueFlags, checkQueueFlags, withRunner, type QueueFlags } from '../queue_flags.ts'
import { showReport } from '../report.ts'
import { wrapLines } from '../../results/fold.ts'
import type { Screen } from '../screen.ts'
import type { Session } from '../session.ts'
import { addTaskFlags, type TaskFlags } from '../task_flags.ts'
import { countOf, formatColumns, formatPercent, methodCells } from '../words.ts'
import { whole, addOwnFlags, type FlagsOf } from '../values.ts'

const taskNames: readonly string[] = [...tasks.map(({ name }) => name), continuationName]

/** What the columns of metrics are. */
const metricLines = [
  'acc takes the answer with the highest log-likelihood, acc_norm the one with the highest for each character.',
  'mutual (acc_mutual_info) takes the answer whose log-likelihood the context raises most.',
]

const help = `
Tasks and the fields of their rows, as on the Hugging Face hub:
${tasks.map(({ name, fields }) => `  ${name.padEnd(14)}${fields}`).join('\n')}
  ${continuationName.padEnd(14)}no rows: the true continuation of a text, among three others; --text or the Brown corpus

Rows are JSON lines or parquet: --rows TASK=FILE, or --data DIR with TASK.jsonl, TASK.parquet, or the same with
.validation, .test or .dev before the ending. Examples (--shots) are drawn from TASK.train.* there, else from the other
rows. A planner sees the context only, never an answer. Ctrl-C reports what is finished.

${metricLines.join('\n')}

Examples:
  $ shadowllm eval -m FILE.gguf --tasks continuation --text book.txt --limit 100
  $ shadowllm eval --tasks continuation --planner shadow,random --sparsity 0.5,0.8
  $ shadowllm eval -m DIR --tasks piqa,copa,rte --data rows --shots 5 --seed 1 --json
  $ shadowllm eval -m DIR --tasks hellaswag --rows hellaswag=validation.parquet --limit 200
  $ shadowllm eval -m DIR --tasks piqa --data rows --queue redis://127.0.0.1 --shards /mnt/shards`

const ownFlags = [
  ['--text <file...>', 'texts of the continuation task (default: the Brown corpus)'],
  ['--shots <count>', 'examples before each question', whole(0), 0],
  ['--limit <count>', 'questions of each task at most, the first ones (default: all)', whole(1)],
  [
    '--bos',
    "put the model's first token, </s> of OPT, before each context (the harness does not unless add_bos_token is set)",
  ],
  ['--prompt <count>', 'most tokens of a context of continuation', whole(2), 64],
  ['--continuation <count>', 'most tokens of an answer of continuation', whole(1), 32],
  ['--log-samples', 'with --json, every question with the log-likelihoods of its answers'],
] as const

type EvalFlags = FlagsOf<typeof ownFlags> &
  ModelFlags &
  PlannerFlags &
  QueueFlags &
  TaskFlags & { readonly tasks: readonly string[] } & SharedFlags<'seed' | 'report'>

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addFlags(command, 'model')
  addOwnFlags(
    addTaskFlags(command, taskNames, `tasks to ask, separated by commas, of ${taskNames.join(', ')}`, true),
    ownFlags,
  )
  addPlannerFlags(command)
  addFlags(command, 'seed', 'backend', 'storage', 'threads')
  addFlags(addQueueFlags(command), 'report', 'quiet')
    .addHelpText('after', help)
    .action((flags: EvalFlags) => runEval(session, flags))
}

async function runEval(session: Session, flags: EvalFlags): Promise<void> {
  checkFlags(flags)
  if (flags.output !== undefined) await checkOutput(flags.output)
  const report = await withModel(session, flags, (opt) => measure(session, opt, flags))
  await showReport(session, flags, report, formatReport)
  if (!report.complete) session.signal.throwIfAborted()
}

/** @throws UsageError FLAGS for flags that exclude each other */
function checkFlags(flags: EvalFlags): void {
  checkQueueFlags(flags)
  if (flags.queue && flags.storage !== 'f32')
    throw new UsageError('FLAGS', `--queue: expected --storage f32, as workers have it, got ${flags.storage}`)
}

function measure(session: Session, opt: ShadowModel, flags: EvalFlags): Promise<TasksReport> {
  return withMethods(session, opt, flags, async (compared) => {
    const prepared: Awaited<ReturnType<typeof prepareTask>>[] = []
    const options = prepareOptions(opt, flags)
    for (const name of flags.tasks) prepared.push(await prepareTask(name, options))
    const run: RunOptions = {
      model: opt.model,
      tasks: prepared.map(({ task }) => task),
      ...compared,
      mode: flags.mode,
      seed: flags.seed,
      logsSamples: flags.logSamples,
      config: {
        model: opt.name,
        batch_size: 1,
        limit: flags.limit ?? null,
        add_bos_token: flags.bos ?? false,
        num_fewshot: flags.shots,
        fewshot_seed: flags.seed,
      },
      provenance: await makeProvenance({
        backend: opt.model.backend,
        model: modelSource(opt.name, await hashFiles(opt.files), opt.origin),
        data: await sourceOf(prepared.map(({ source }) => source)),
        seed: flags.seed,
        argv: session.args,
      }),
    }
    return withRunner(session, opt, flags, (runner) =>
      runTasks(
        { ...run, runner },
        (task, done, total) => session.progress.update({ stage: task, done, total }),
        session.signal,
      ),
    )
  })
}

function prepareOptions(opt: ShadowModel, flags: EvalFlags): PrepareOptions {
  const { tokenizer } = opt
  if (!tokenizer)
    throw new InputError(
      'TOKENIZER_MISSING',
      'tasks: expected a tokenizer in the folder of the model, got none',
    )
  const { data, rows, text, shots, seed, limit, bos, prompt, continuation } = flags
  return {
    config: opt.config,
    encode: (part) => opt.encode(part),
    prefixIds: opt.prefixIds,
    decode: (tokens) => tokenizer.decode(tokens),
    data,
    rows,
    shots,
    seed,
    limit: limit ?? null,
    bos: bos ?? false,
    documents: async () =>
      text
        ? { name: text.join(', '), documents: await readDocuments(text) }
        : { name: 'Brown corpus', documents: await brownForEvaluation() },
    prompt,
    continuation,
  }
}

/** One source for all tasks. */
async function sourceOf(sources: readonly Source[]): Promise<Source> {
  if (sources.length === 1) return sources[0]
  const texts = sources.map(({ name, hash }) => ({ name, text: hash }))
  return { name: sources.map(({ name }) => name).join(', '), hash: await hashTexts(texts) }
}

function score({ scores }: TaskRow, metric: string): string {
  const value = scores[`${metric},none`]
  const error = scores[`${metric}_stderr,none`]
  return typeof value === 'number' ? share(value, typeof error === 'number' ? error : null) : '-'
}

function share(value: number, error: number | null): string {
  return (100 * value).toFixed(1) + (error === null ? '' : ` ± ${(100 * error).toFixed(1)}`)
}

function overDense({ planner, overDense: { acc } }: TaskRow): string {
  return planner === 'dense' || !acc ? '-' : share(acc.value, acc.error)
}

const headings = [
  'task',
  'planner',
  'asked',
  'heads',
  'neurons',
  'acc %',
  'over dense',
  'acc_norm %',
  'mutual %',
  'same choice',
  'questions',
]

/** The report as a table. @param screen what it is shown on */
export function formatReport(report: TasksReport, { columns }: Screen): string {
  const { rows, means, complete } = report
  const cells = rows.map((row) => [
    row.task,
    ...methodCells(row),
    score(row, 'acc'),
    overDense(row),
    score(row, 'acc_norm'),
    score(row, 'acc_mutual_info'),
    row.planner === 'dense' ? '-' : formatPercent(row.agreement),
    `${row.questions}`,
  ])
  // A row is named by its task, its planner and its sparsity.
  const fit = { columns, keys: 3 }
  if (rows.length === 0) return 'The run was stopped before a question was scored.\n'
  const lines = [formatColumns([headings, ...cells], [2, 3, 4, 5, 6, 7, 8, 9, 10], fit).trimEnd(), '']
  if (new Set(rows.map(({ task }) => task)).size > 1)
    for (const { planner, sparsity, acc, error, overDense: more } of means) {
      const difference = planner === 'dense' ? '' : `, over dense ${share(more.value, more.error)}`
      lines.push(
        `Mean acc of all tasks, ${planner} at ${Math.round(1000 * sparsity) / 10} %: ${share(acc, error)} %${difference}`,
      )
    }
  lines.push('± is one standard error. Over dense: acc less that of dense, question by question.')
  lines.push(...metricLines)
  lines.push('Same choice: how often acc chooses the answer that dense chooses.')
  for (const [task, { left_out: count }] of Object.entries(report['n-samples']))
    if (count > 0)
      lines.push(
        `${task}: ${countOf(count, 'question')} left out: the answers do not fit the model's context.`,
      )
  if (!complete) lines.push('The run was stopped: the numbers cover what was finished.')
  return `${lines.map((line) => wrapLines(line, columns)).join('\n')}\n`
}
