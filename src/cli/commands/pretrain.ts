/**
 * `shadowllm pretrain`: trains a small model from text, with this project's own backward pass.
 */
import type { Command, Option } from 'commander'
import { createBackend } from '../../backends/select.ts'
import { parameterShapes } from '../../engine/program.ts'
import { joinPath, makeFolder, removeAbandoned } from '../../platform/platform.ts'
import { embeddedName, findModel } from '../../io/find_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import {
  addToCurve,
  cutCurve,
  hasCheckpoint,
  hashWindows,
  openCheckpoint,
  readCurve,
  saveCheckpoint,
  type RunIdentity,
} from '../../training/checkpoint.ts'
import { pretrain, type HeldOutReport, type StepReport } from '../../training/pretrain.ts'
import type { PretrainWindows } from '../../training/pretrain_data.ts'
import {
  checkSettings,
  embeddedRecipe,
  settingNames,
  type PretrainSettings,
} from '../../training/pretrain_settings.ts'
import type { TrainerState } from '../../training/pretrain_trainer.ts'
import { addFlags, type SharedFlags } from '../flags.ts'
import { outputKind, whileWriting } from '../output.ts'
import { readPlan, readWindows, writePlan, type ModelPlan } from '../pretrain_inputs.ts'
import { jsonText } from '../../results/json_text.ts'
import type { Session } from '../session.ts'
import { countOf, formatBytes, formatCount } from '../words.ts'
import { flagOf, number, whole, addOwnFlags, required, type FlagsOf } from '../values.ts'
import { type OptionRecord, seedOption } from '../../tensor/option.ts'

const help = `
The default is the first part of the embedded model's recipe, on the Brown corpus: AdamW (betas 0.9 and 0.95, weight decay
on matrices only), a linear rise of the rate, then a cosine down to a floor, gradients clipped by their common norm, windows that
begin with </s> in a seeded random order. The output is a model's folder, with the loss curve in loss.jsonl and the state
to continue from in training.safetensors. Ctrl-C keeps both; --resume continues, and the weights are those of a run that
was never stopped, bit for bit.

Examples:
  $ shadowllm pretrain -o tiny --steps 40 --batch 4 --length 128 --warmup 10 # minutes; the loss falls
  $ shadowllm pretrain -o own --text a.txt b.txt --config config.json --tokenizer DIR
  $ shadowllm pretrain -o own --text a.txt b.txt --resume
  $ shadowllm generate -m own "Once upon a time"
  $ shadowllm pretrain -o whole # all of it: 4,279 steps of 16 × 256 tokens, many hours`

const inputFlags = [
  required('-o, --output <dir>', 'folder for the model, the loss curve and the state to continue from'),
  ['--config <path>', "config.json or its folder: the model's sizes (default: those of tiny-opt)"],
  ['--tokenizer <dir>', 'folder of vocab.json and merges.txt (default: that of the config)'],
  [
    '--text <file...>',
    'text to learn from (default: the documents of the Brown corpus that are calibrated on)',
  ],
  ['--held-out <file...>', 'text that is only measured (default: those documents, or each 20th window)'],
] as const

const runFlags = [
  ['--evaluate-every <steps>', 'steps from one measurement of the held-out loss to the next', whole(1), 100],
  ['--save-every <steps>', 'steps from one saved state to the next', whole(1), 100],
  ['--resume', 'continue the run in the folder; its settings hold'],
] as const

type PretrainFlags = Partial<PretrainSettings> &
  FlagsOf<typeof inputFlags> &
  FlagsOf<typeof runFlags> &
  SharedFlags<'backend' | 'json' | 'quiet'>

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, inputFlags)
  for (const option of settingOptions()) command.addOption(option)
  addOwnFlags(command, runFlags)
  addFlags(command, 'backend', 'json', 'quiet')
    .addHelpText('after', help)
    .action((flags: PretrainFlags) => runPretrain(session, flags))
}

/** No defaults: a run that is resumed has its own. */
function settingOptions(): Option[] {
  const option = (name: keyof PretrainSettings, value: string, what: string, kind: OptionRecord) =>
    flagOf(`--${name} <${value}>`, `${what} (default: ${embeddedRecipe[name]})`, kind)
  const count = (name: keyof PretrainSettings, least: number, what: string): Option =>
    option(name, 'count', what, whole(least))
  const size = (name: keyof PretrainSettings, least: number, most: number, what: string): Option =>
    option(name, 'number', what, number(least, most))
  return [
    count('steps', 1, 'steps of the whole run'),
    count('batch', 1, 'windows a step learns from'),
    count('length', 2, 'tokens of a window'),
    size('rate', 0, 1, 'highest learning rate'),
    count('warmup', 0, 'steps over which the rate rises'),
    option('floor', 'share', 'share of the highest rate the cosine ends at', number(0, 1)),
    size('decay', 0, 1, 'weight decay of matrices'),
    size('clip', 1e-6, Infinity, 'norm that gradients are clipped to'),
    option('seed', 'number', 'seed of the first weights and of the order', seedOption),
  ]
}

async function runPretrain(session: Session, flags: PretrainFlags): Promise<void> {
  const { output, resume = false } = flags
  await checkFolder(output, resume)
  const checkpoint = resume ? await openCheckpoint(output) : null
  try {
    const plan = await readPlan(
      flags.config ?? (resume ? output : (await findModel(embeddedName)).path),
      flags.tokenizer,
    )
    const settings = settingsOf(flags, checkpoint?.settings ?? embeddedRecipe)
    checkSettings(settings, plan.config.positions)
    const reading = (done: number, total: number): void =>
      session.progress.update({ stage: 'reading', done, total })
    const choice = { ...flags, length: settings.length }
    const windows = await readWindows(plan, choice, reading, session.signal)
    const identity = { settings, config: plan.config, data: await hashWindows(windows.training) }
    const from = checkpoint ? await checkpoint.read(identity) : null
    await whileWriting(output, async () => {
      await makeFolder(output)
      await removeAbandoned(output)
      if (from === null) await writePlan(output, plan)
      await cutCurve(output, from?.step ?? 0)
    })
    await train(session, flags, { plan, windows, identity, from })
  } finally {
    await checkpoint?.close()
  }
}

/** Those given, else those of `others`. */
function settingsOf(flags: PretrainFlags, others: PretrainSettings): PretrainSettings {
  const settings = { ...others }
  for (const name of settingNames) settings[name] = flags[name] ?? settings[name]
  return settings
}

/** @throws UsageError OUTPUT for what is no folder, or one that holds a model or a run that would be lost */
async function checkFolder(folder: string, resume: boolean): Promise<void> {
  const kind = await outputKind(folder)
  if (kind === 'file' || kind === 'other')
    throw new UsageError('OUTPUT', `${folder}: expected a folder to write, got a file`)
  if (resume || kind === 'missing') return
  if (await hasCheckpoint(folder))
    throw new UsageError('OUTPUT', `${folder}: expected no run in it, got one; --resume goes on with it`)
  for (const name of ['model.safetensors', 'pytorch_model.bin'])
    if ((await outputKind(joinPath(folder, name))) !== 'missing')
      throw new UsageError('OUTPUT', `${folder}: expected a folder without a model, got ${name} in it`)
}

interface Run {
  readonly plan: ModelPlan
  readonly windows: PretrainWindows
  readonly identity: RunIdentity
  readonly from: TrainerState | null
}

async function train(session: Session, flags: PretrainFlags, run: Run): Promise<void> {
  const { output, json, evaluateEvery, saveEvery } = flags
  const { settings, config } = run.identity
  const show = async (line: string): Promise<void> => {
    if (!json) await session.print(`${line}\n`)
  }
  session.progress.clear()
  await show(describeRun(run))
  const taken: StepReport[] = []
  let told = 0
  let finished = false
  const backend = await createBackend(flags.backend)
  try {
    await pretrain({
      config,
      backend,
      windows: run.windows,
      settings,
      from: run.from,
      evaluateEvery,
      saveEvery,
      signal: session.signal,
      onStep: async (report) => {
        taken.push(report)
        await whileWriting(output, () => addToCurve(output, report))
        showProgress(session, taken, settings.steps)
      },
      onHeldOut: async (report) => {
        await whileWriting(output, () => addToCurve(output, report))
        await show(describeHeldOut(report, taken.slice(told), settings.steps))
        told = taken.length
      },
      save: (state) => whileWriting(output, () => saveCheckpoint(output, state, run.identity)),
    })
    finished = true
  } finally {
    backend.dispose()
    session.progress.clear()
    // Ctrl-C ends the run with an error; the summary covers the steps so far.
    if (json && (finished || session.signal.aborted))
      await session.print(jsonText(await summary(output, run, taken)))
  }
  await show(`written to ${output}`)
}

function describeRun({ identity, windows, from }: Run): string {
  const { config, settings } = identity
  const shapes = [...parameterShapes(config).values()]
  const parameters = shapes.reduce(
    (sum, shape) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  )
  const tokens = formatCount(windows.training.length * settings.length)
  const perStep = formatCount(settings.batch * settings.length)
  return [
    `${formatCount(parameters)} parameters; a state takes ${formatBytes(parameters * 12)}, the model ${formatBytes(parameters * 4)}`,
    `${tokens} tokens in ${countOf(windows.training.length, 'window')}, ${countOf(windows.heldOut.length, 'window')} held out`,
    `${formatCount(settings.steps)} steps of ${perStep} tokens${from ? `, going on after ${formatCount(from.step)}` : ''}`,
  ].join('\n')
}

function speedOf(steps: readonly StepReport[]): number {
  const total = (of: 'tokens' | 'seconds'): number => steps.reduce((sum, step) => sum + step[of], 0)
  return total('tokens') / total('seconds')
}

function showProgress(session: Session, taken: readonly StepReport[], steps: number): void {
  const recent = taken.slice(-10)
  const seconds = recent.reduce((sum, step) => sum + step.seconds, 0) / recent.length
  const { step, loss } = recent[recent.length - 1]
  session.progress.update({
    stage: 'training',
    done: step,
    total: steps,
    secondsLeft: seconds * (steps - step),
    note: `loss ${loss.toFixed(3)}  ${formatCount(Math.round(speedOf(recent)))} tokens/s`,
  })
}

/** @param since the steps taken since the last such line */
function describeHeldOut(
  { step, heldOut }: HeldOutReport,
  since: readonly StepReport[],
  steps: number,
): string {
  const measured = `step ${formatCount(step)} of ${formatCount(steps)}: held out ${heldOut.toFixed(4)}`
  if (since.length === 0) return measured
  const mean = since.reduce((sum, { loss }) => sum + loss, 0) / since.length
  return `${measured}, training ${mean.toFixed(4)}, ${formatCount(Math.round(speedOf(since)))} tokens/s`
}

/** The first and the last value of a curve. */
interface Ends {
  readonly first: number
  readonly last: number
}

/** What `--json` prints. */
export interface PretrainOutput {
  /** The folder. */
  readonly output: string
  /** Steps taken, those of earlier runs included. */
  readonly step: number
  readonly complete: boolean
  readonly settings: PretrainSettings
  readonly data: { readonly hash: string; readonly windows: number; readonly heldOut: number }
  /** Nats per token; null before the first step. */
  readonly loss: Ends | null
  /** The same of held-out windows; null before the first measurement. */
  readonly heldOut: Ends | null
  /** Of this run; null if it took no step. */
  readonly tokensPerSecond: number | null
}

async function summary(
  output: string,
  { identity, windows }: Run,
  taken: readonly StepReport[],
): Promise<PretrainOutput> {
  const { settings, data } = identity
  const curve = await readCurve(output)
  const losses = curve.flatMap((row) => ('loss' in row ? [row] : []))
  const heldOut = curve.flatMap((row) => ('heldOut' in row ? [row] : []))
  const ends = <Row>(rows: readonly Row[], read: (row: Row) => number): Ends | null =>
    rows.length === 0 ? null : { first: read(rows[0]), last: read(rows[rows.length - 1]) }
  const step = losses.at(-1)?.step ?? 0
  return {
    output,
    step,
    complete: step === settings.steps,
    settings,
    data: { hash: data, windows: windows.training.length, heldOut: windows.heldOut.length },
    loss: ends(losses, (row) => row.loss),
    heldOut: ends(heldOut, (row) => row.heldOut),
    tokensPerSecond: taken.length === 0 ? null : speedOf(taken),
  }
}
