/**
 * `shadowllm learn`: scores learnt through the mask, and a predictor of what a prompt changes of them. It can be stopped at any
 * moment; the same command goes on.
 */
import { type Command } from 'commander'
import { takeWindows } from '../../calibration/examples.ts'
import { hashWindows } from '../../calibration/manifest.ts'
import { openCalibration } from '../../calibration/open.ts'
import { textSource } from '../../calibration/sources.ts'
import { holdMoments, momentPaths, type MomentPlaces } from '../../compensation/open_moments.ts'
import type { Window } from '../../data/windows.ts'
import { featureWidths } from '../../engine/config.ts'
import { isThere } from '../../io/files.ts'
import { makeBudget, type Budget, scopeOption, shareOption } from '../../masks/budget.ts'
import type { CompensationName } from '../../masks/compensation.ts'
import { prefillOption } from '../../masks/planner.ts'
import { now } from '../../platform/platform.ts'
import { pause } from '../../platform/pause.ts'
import { matrixTypes, savePredictor } from '../../predictor/predictor_file.ts'
import { ShadowPredictor } from '../../predictor/shadow.ts'
import { hashFiles } from '../../results/provenance.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { nameOption } from '../../tensor/option.ts'
import { learntPredictor, PredictorLearner, type LearntPredictor } from '../../training/learn_predictor.ts'
import { readLearning, saveLearning, type LearningSettings } from '../../training/learning_file.ts'
import { DEFAULT_RATE } from '../../training/learn_scores.ts'
import { isAbort } from '../failure.ts'
import { checkLearningText, checkWindow, learningText, learningTextFlags } from '../learning_text.ts'
import { addFlags, type ModelFlags, flagDefaults, type SharedFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import { checkOutput, whileWriting } from '../output.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { countOf, formatCount } from '../words.ts'
import { number, oneOf, whole, addOwnFlags, required, type FlagsOf } from '../values.ts'

const help = `
Scores begin as the mean scores of --calibration. Each step runs a window of text dense and under a soft mask of the
scores, and moves them so that the distributions under the mask come nearer (KL, the Kullback-Leibler divergence: 0 for equal ones; in nats a token). Then a ridge
regression learns, from all these windows, how a prompt deviates from what is common; the file is a predictor of the
shadow planner. Use it as it was learnt: with the same --prefill, --scope and about the same sparsity.

With --compensate least-squares the kept units make up for the skipped ones while scores are learnt, by the moments of
--calibration: a unit is worth what the kept units do not say of it. Use the predictor with --compensate least-squares too.

After Ctrl-C the same command goes on with FILE.learning, which holds what was learnt. It may be deleted when the predictor
is written; while it is there, another --source-layer, --rank or --penalty takes no further steps.

Examples:
  $ shadowllm calibrate -m DIR --output traces --limit 48
  $ shadowllm learn -m DIR --calibration traces --head-sparsity 0 -o neurons.safetensors
  $ shadowllm perplexity -m DIR --planner shadow --predictor neurons.safetensors \\
      --head-sparsity 0 --scope per-layer --prefill dense`

/** The ways through which scores are learnt. */
const learntCompensation = nameOption('COMPENSATE', [
  'none',
  'least-squares',
] as const satisfies readonly CompensationName[])

const ownFlags = [
  required('--calibration <dir>', 'a calibration, whose mean scores are the start'),
  required('-o, --output <file>', 'file for the predictor'),
  [
    '--criterion <name>',
    'whose mean scores of the calibration are the start',
    undefined,
    flagDefaults.criterion,
  ],
  ['--sparsity <share>', 'share of units to skip', shareOption, 0.5],
  ['--head-sparsity <share>', 'share of heads to skip (default: that of --sparsity)', shareOption],
  ['--neuron-sparsity <share>', 'share of neurons to skip (default: that of --sparsity)', shareOption],
  ['--scope <name>', 'which units compete', scopeOption, 'per-layer'],
  ['--prefill <how>', 'whether prompts run dense or masked', prefillOption, 'dense'],
  [
    '--compensate <way>',
    'what takes the place of what is skipped while scores are learnt, by moments of "calibrate --moments"',
    learntCompensation,
    'none',
  ],
  ['--steps <count>', 'windows to learn from, one a step', whole(1), 280],
  ['--rate <number>', 'how far a step moves scores, in ranks', number(0), DEFAULT_RATE],
  [
    '--placement, --source-layer <layer>',
    'the layer whose heads the predictor sees (default: a quarter of the way up)',
    whole(0),
  ],
  [
    '--rank <count>',
    'directions of its features; 0 for the scores alone, the same for every prompt',
    whole(0),
    64,
  ],
  ['--penalty <number>', "ridge penalty of the predictor's regression", number(1e-6), 10],
  ...learningTextFlags,
  ['--prompt <count>', 'most tokens of a prompt', whole(2), 128],
  ['--continuation <count>', 'most tokens of its continuation', whole(1), 128],
  ['--matrices <type>', 'type of the matrices in the file', oneOf(matrixTypes), 'bf16'],
] as const

type LearnFlags = FlagsOf<typeof ownFlags> & ModelFlags & SharedFlags<'seed' | 'json' | 'moments'>

/** What a run of the command found. */
export interface LearnReport {
  readonly output: string
  readonly card: LearntPredictor['config']
  readonly steps: number
  /** Steps that were taken now. */
  readonly taken: number
  /** KL under the soft mask in nats a token, mean over the first and the last twentieth of these steps; null for none. */
  readonly kl: { readonly first: number; readonly last: number } | null
  /** The share of the deviation that the predictor explains in windows it was not fitted on. */
  readonly explained: number | null
  readonly seconds: number
}

/** Steps between two savings of what was learnt. */
const SAVE_EVERY = 20

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addFlags(command, 'model')
  addOwnFlags(command, ownFlags)
  addFlags(command, 'moments', 'seed', 'backend', 'threads', 'json', 'quiet')
    .addHelpText('after', help)
    .action((flags: LearnFlags) => runLearn(session, flags))
}

async function runLearn(session: Session, flags: LearnFlags): Promise<void> {
  checkLearningText(flags)
  const places = await placesOf(flags)
  await checkOutput(flags.output)
  const { sparsity, headSparsity = sparsity, neuronSparsity = sparsity, scope } = flags
  const budget = makeBudget(sparsity, { headSparsity, neuronSparsity, scope })
  await withModel(session, flags, async (opt) => {
    const started = now()
    const learning = await begin(opt, flags, budget, places)
    const taken = await learnFrom(session, opt, flags, learning)
    const { layers } = opt.config
    const { sourceLayer = Math.floor(layers / 4), rank, penalty, seed } = flags
    if (sourceLayer >= layers)
      throw new UsageError(
        'PLACEMENT',
        `--source-layer: expected a layer from 0 to ${layers - 1}, got ${sourceLayer}`,
      )
    const { learner, settings } = learning
    const correction = { sourceLayer, rank, penalty }
    const origin = { seed, dataHash: String(settings.data) }
    const made = learntPredictor(opt.model, learner.state, budget, correction, origin)
    const predictor = new ShadowPredictor(opt.model.backend, made.config, made.values)
    try {
      await whileWriting(flags.output, () =>
        savePredictor(flags.output, predictor, {
          matrices: flags.matrices,
          source: { ...settings, rank, penalty },
        }),
      )
    } finally {
      predictor.dispose()
    }
    const report: LearnReport = {
      output: flags.output,
      card: made.config,
      steps: flags.steps,
      taken: taken.length,
      kl: taken.length === 0 ? null : endsOf(taken),
      explained: made.explained,
      seconds: (now() - started) / 1000,
    }
    await printResult(session, flags, report, formatReport)
  })
}

/** A run: its windows, and what was learnt so far. */
interface Learning {
  readonly windows: readonly Window[]
  readonly settings: LearningSettings
  readonly learner: PredictorLearner
}

/** Who reads a predictor that is learnt here. */
const reader = 'shadow'

/** Where the moments are that scores are learnt with; null for none. @throws UsageError FLAGS, MissingError MOMENTS_MISSING */
async function placesOf({ calibration, compensate, moments }: LearnFlags): Promise<MomentPlaces | null> {
  if (compensate !== 'none') {
    const places = { calibration, files: moments }
    await momentPaths(places, reader)
    return places
  }
  if (moments.length === 0) return null
  throw new UsageError(
    'FLAGS',
    `--moments ${moments[0]}: expected --compensate least-squares, got ${compensate}`,
  )
}

async function begin(
  opt: ShadowModel,
  flags: LearnFlags,
  budget: Budget,
  places: MomentPlaces | null,
): Promise<Learning> {
  const { steps, rate, prefill, criterion, compensate, seed, prompt, continuation } = flags
  const { model, prefixIds } = opt
  const calibration = await openCalibration(flags.calibration)
  calibration.checkModel({ ...model.shape, ...featureWidths(opt.config) })
  const start = await calibration.aggregate(criterion)
  checkWindow(prompt, continuation, opt.config.positions)
  const { documents, name } = await learningText(flags)
  const encode = (part: string): number[] => opt.encode(part)
  const source = textSource(documents, { name, encode, count: steps, seed, prompt, continuation, prefixIds })
  const windows = await takeWindows(source, steps)
  if (windows.length < steps)
    throw new UsageError(
      'WINDOWS',
      `--steps: expected at most the ${windows.length} windows of ${name}, got ${steps}`,
    )
  const moments = places ? await holdMoments(model, places, reader) : undefined
  const { headSparsity, neuronSparsity, scope } = budget
  const settings = {
    model: await hashFiles(opt.files),
    calibration: calibration.identity,
    criterion,
    data: await hashWindows(windows),
    text: name,
    headSparsity,
    neuronSparsity,
    scope,
    prefill,
    ...(places && { compensate, moments: await hashFiles(await momentPaths(places, reader)) }),
    steps,
    rate,
  }
  const path = learningPath(flags)
  const from = (await isThere(path)) ? await readLearning(path, model, settings) : start
  const learner = new PredictorLearner(model, from, budget, { steps, rate, prefill, moments })
  return { windows, settings, learner }
}

/** Takes the steps that are left. @returns KL at each of them */
async function learnFrom(
  session: Session,
  { model }: ShadowModel,
  flags: LearnFlags,
  { windows, settings, learner }: Learning,
): Promise<number[]> {
  const path = learningPath(flags)
  const taken: number[] = []
  const save = (): Promise<void> =>
    whileWriting(path, () => saveLearning(path, model, learner.state, settings))
  try {
    for (let { step } = learner.state; step < windows.length; step++) {
      await pause(session.signal)
      taken.push(learner.step(windows[step]))
      const note = `KL ${meanOf(taken.slice(-20)).toFixed(3)}`
      session.progress.update({ stage: 'learning', done: step + 1, total: windows.length, note })
      if ((step + 1) % SAVE_EVERY === 0 || step + 1 === windows.length) await save()
    }
  } catch (error) {
    if (!isAbort(error) || taken.length === 0) throw error
    await save()
    if (!flags.json)
      await session.print(
        `${countOf(learner.state.step, 'step')} kept in ${path}; the same command goes on from there\n`,
      )
    throw error
  }
  return taken
}

function learningPath({ output }: LearnFlags): string {
  return `${output}.learning`
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function endsOf(taken: readonly number[]): { first: number; last: number } {
  const count = Math.ceil(taken.length / 20)
  return { first: meanOf(taken.slice(0, count)), last: meanOf(taken.slice(-count)) }
}

function formatReport({ output, card, steps, taken, kl, explained, seconds }: LearnReport): string {
  const lines = [
    `${output}: heads of layer ${card.sourceLayer}, ${countOf(steps, 'window')}, ${formatCount(taken)} of them now, ${seconds.toFixed(1)} s`,
  ]
  if (kl) lines.push(`KL under the soft mask ${kl.first.toFixed(3)} at first, ${kl.last.toFixed(3)} at last`)
  if (explained !== null)
    lines.push(
      `the prompt explains ${(100 * explained).toFixed(1)} % of how neurons deviate in windows not fitted on`,
    )
  return `${lines.join('\n')}\n`
}
