/**
 * Flags that say which planners run and what they decide by: one planner (generate, masks), or several that are compared
 * (perplexity, eval). What several decide by is read here from the files they name.
 */
import type { Command, Option } from 'commander'
import {
  compareMethods,
  makeMethod,
  readsMoments,
  type Method,
  type MethodSources,
} from '../results/method.ts'
import { findPredictor, ownPredictor, predictorBeside } from '../io/named_predictor.ts'
import type { KnownShape } from '../io/known_models.ts'
import { shareOption, type Scope } from '../masks/budget.ts'
import type { HeldMoments } from '../compensation/held_moments.ts'
import { MOMENTS_CRITERION } from '../criteria/index.ts'
import type { CompensationName } from '../masks/compensation.ts'
import type { Prefill } from '../masks/planner.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { MaskMode } from '../engine/active_layer.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { choiceOf, expectSkipping } from '../library/planner_options.ts'
import {
  defaultPrefill,
  kindsNeeded,
  needs,
  plannerNames,
  plannerOption,
  type PlannerName,
} from '../planners/index.ts'
import type { PredictorKind } from '../predictor/predictor_config.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { checkPredictor } from '../predictor/suitable.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
import { nameOption } from '../tensor/option.ts'
import { addFlags, groups } from './flags.ts'
import type { Session } from './session.ts'
import { addOwnFlags, flagOf, listOf, sharesOf } from './values.ts'
import { featureWidths } from '../engine/config.ts'

/** What decides, whether a command runs one planner or compares several. */
interface DeciderFlags {
  readonly criterion: string
  readonly scope: Scope
  readonly predictor: readonly string[]
  readonly calibration?: string
  readonly moments: readonly string[]
  readonly compensate?: CompensationName
  readonly ridge?: number
  readonly promptShare?: number
  readonly paperCompatible?: boolean
  readonly prefill?: Prefill
  readonly check?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** Adds the flags of planners, of shares and of what planners decide by. @param usual what a share implies, if anything */
function addDeciderFlags(command: Command, [planner, sparsity]: readonly Option[], usual: unknown): void {
  const shares = [
    flagOf('--head-sparsity <share>', 'of heads, if different; 0 for neurons alone', shareOption),
    flagOf('--neuron-sparsity <share>', 'of neurons, if different; 0 for heads alone', shareOption),
  ]
  if (usual !== null) for (const share of [sparsity, ...shares]) share.implies({ planner: usual })
  addOwnFlags(command, [planner, sparsity])
  addOwnFlags(
    command,
    [...shares, ['--released, --paper-compatible', 'select as the released code does']],
    groups.masks,
  )
  addFlags(command, 'scope', 'criterion', 'predictor')
  const calibration =
    'a calibration, whose mean scores static and others rank by, and whose moments compensate'
  addOwnFlags(command, [['--calibration <dir>', calibration]], groups.learnt)
  addFlags(command, 'moments')
  refuseSharesOfDense(command)
}

/** Adds the flags of what takes the place of skipped units. */
export function addCompensationFlags(command: Command): Command {
  return addFlags(command, 'compensate', 'ridge', 'promptShare')
}

// ---- One planner -----------------------------------------------------------------------------------------------------

/** What a command that runs one planner is given. */
export interface PlanFlags extends DeciderFlags {
  readonly planner: PlannerName
  readonly sparsity: number
  readonly headSparsity?: number
  readonly neuronSparsity?: number
  readonly seed: number
  /** Whether a share was asked for without a planner. */
  readonly isPlannerImplied?: boolean
}

/** Adds the flags. */
export function addPlanFlags(
  command: Command,
  planners: readonly PlannerName[],
  usual: PlannerName,
): Command {
  const planner = flagOf(
    '--planner <name>',
    'what decides what is skipped: see "shadowllm planners"',
    nameOption('PLANNER', planners),
  ).default(usual, usual === 'dense' ? 'dense, or with a share griffin or shadow, as the model needs' : usual)
  const alone =
    usual === 'dense'
      ? '; alone it means --planner griffin for a gated model without a predictor of its own, else --planner shadow'
      : ''
  const sparsity = flagOf(
    '--sparsity <share>',
    `share of heads and neurons that the planner skips, from 0 to 1; dense skips none${alone}`,
    shareOption,
    0.5,
  )
  addDeciderFlags(command, [planner, sparsity], usual === 'dense' ? 'shadow' : null)
  return addFlags(command, 'seed')
}

/**
 * Reads the files that were named, and settles which planner a share alone means.
 * @param mayChange whether other planners may follow the one named, as in a conversation
 * @returns the flags, with that planner
 * @throws UsageError PREDICTOR_KIND for a predictor that no planner reads; and as `ShadowModel.loadPredictor` and
 *   `loadCalibration`
 */
export async function loadPlanFiles<Flags extends PlanFlags>(
  session: Session,
  opt: ShadowModel,
  flags: Flags,
  mayChange = false,
): Promise<Flags> {
  const { predictor, calibration, moments } = flags
  const found: NamedKind[] = []
  for (const path of predictor) found.push({ path, kind: await opt.loadPredictor(path) })
  if (calibration !== undefined) await opt.loadCalibration(calibration)
  const planner = flags.isPlannerImplied ? await opt.usualPlanner(choiceOf(flags)) : flags.planner
  const needed = kindsNeeded([planner])
  const isServed = needed.length === 0 || found.some(({ kind }) => needed.includes(kind))
  if (!mayChange || !isServed) checkKinds([planner], found)
  const { criterion, compensate } = flags
  const method = makeMethod({ planner, sparsity: 0, criterion, compensate })
  expectMomentsRead(moments, mayChange || readsMoments(method))
  for (const path of moments) opt.addMoments(path)
  if (planner === 'shadow' || mayChange) await noteOtherUse(session, opt, flags)
  if (planner !== flags.planner && !flags.json && !flags.quiet)
    await session.note(`planner ${planner}, as none was named; it skips neurons alone`)
  return { ...flags, planner }
}

/** The predictors named, else the model's own: paths, or names in this package. */
async function shadowFiles(opt: ShadowModel, predictor: readonly string[]): Promise<readonly string[]> {
  if (predictor.length > 0) return predictor
  const own = await ownPredictor(predictorBeside(opt.weightsFile), opt.config)
  return own === null ? [] : [own]
}

/** Tells of each predictor that was learnt for other masks than those of the flags. */
async function noteOtherUse(session: Session, opt: ShadowModel, flags: DeciderFlags): Promise<void> {
  const { scope, check, promptShare = 0, prefill: asked, predictor, json, quiet } = flags
  if (json || quiet) return
  const { learntUse } = await import('../predictor/predictor_file.ts')
  const prefill = asked ?? (check !== undefined || promptShare > 0 ? 'dense' : defaultPrefill('shadow'))
  for (const file of await shadowFiles(opt, predictor)) {
    const learnt = await learntUse(await findPredictor(file))
    if (learnt === null || (learnt.scope === scope && learnt.prefill === prefill)) continue
    await session.note(
      `${file}: learnt with --scope ${learnt.scope} --prefill ${learnt.prefill}, used with ${scope} and ${prefill}`,
    )
  }
}

/** Refuses moments that no method reads: they would have no effect. @throws UsageError FLAGS */
function expectMomentsRead(moments: readonly string[], isRead: boolean): void {
  if (moments.length === 0 || isRead) return
  throw new UsageError(
    'FLAGS',
    `--moments ${moments[0]}: expected --compensate, or --criterion obs, got neither`,
  )
}

/** A predictor that was named. */
interface NamedKind {
  readonly path: string
  readonly kind: PredictorKind
}

/** Refuses a predictor that none of the planners reads: it would have no effect. @throws UsageError PREDICTOR_KIND */
function checkKinds(planners: readonly PlannerName[], found: readonly NamedKind[]): void {
  const needed = kindsNeeded(planners)
  const useless = found.find(({ kind }) => !needed.includes(kind))
  if (!useless) return
  const { path, kind } = useless
  const [expected, got] =
    needed.length > 0
      ? [`a predictor of kind ${needed.join(' or ')}`, `one of kind ${kind}`]
      : [`--planner ${kind} beside it`, planners.join(', ') || 'dense']
  throw new UsageError('PREDICTOR_KIND', `--predictor ${path}: expected ${expected}, got ${got}`)
}

/** Refuses shares that are asked of planners which are all dense. @throws UsageError SPARSITY */
function refuseSharesOfDense(command: Command): void {
  command.hook('preAction', (_, called) => {
    const planners = [called.getOptionValue('planner') as string | readonly string[]].flat()
    called.setOptionValue('isPlannerImplied', called.getOptionValueSource('planner') === 'implied')
    if (planners.length === 0) return
    const compensate = [called.getOptionValue('compensate') as string | undefined].flat()
    if (planners.every((name) => name === 'dense') && compensate.some((way = 'none') => way !== 'none'))
      throw new UsageError(
        'COMPENSATE',
        `planner dense: expected no compensation, because it skips nothing, got ${compensate.join(',')}`,
      )
    for (const name of ['sparsity', 'headSparsity', 'neuronSparsity'])
      if (called.getOptionValueSource(name) === 'cli')
        expectSkipping(planners, [called.getOptionValue(name) as number | readonly number[]].flat())
  })
}

// ---- Several planners ------------------------------------------------------------------------------------------------

/** What a command that compares planners is given. */
export interface PlannerFlags extends DeciderFlags {
  readonly planner: readonly PlannerName[]
  readonly sparsity: readonly number[]
  readonly headSparsity?: number
  readonly neuronSparsity?: number
  readonly every?: number | 'auto'
  readonly mode: MaskMode
  readonly leaky?: boolean
}

/** Adds the flags to a command. */
export function addPlannerFlags(command: Command): Command {
  const planner = listOf(
    '--planner <list>',
    `planners that decide what is skipped, separated by commas: ${plannerNames.join(', ')} (see "shadowllm planners"); dense is always measured`,
    plannerOption,
  ).default([], 'none, or with a share shadow')
  const sparsity = sharesOf('--sparsity <list>', 'shares to skip, separated by commas', [0.5])
  addDeciderFlags(command, [planner, sparsity], ['shadow'])
  addFlags(addCompensationFlags(command), 'every', 'prefill', 'mode')
  const leaky = 'let planners see the whole text, answer included, as the published numbers did'
  return addOwnFlags(command, [['--leaky', leaky]], groups.masks)
}

/** What is to be compared, dense first, and what it decides by. */
export interface ComparedMethods {
  readonly methods: readonly Method[]
  readonly sources: MethodSources
}

/**
 * Reads what the planners decide by, works with it and gives it back.
 * @throws MissingError PLANNER_SOURCE, PREDICTOR_MISSING; InputError PREDICTOR_MODEL, CALIBRATION_MODEL and those of files
 */
export async function withMethods<T>(
  session: Session,
  opt: ShadowModel,
  flags: PlannerFlags,
  work: (compared: ComparedMethods) => Promise<T>,
): Promise<T> {
  const { planner: planners, sparsity: sparsities, paperCompatible, ...choice } = flags
  const { scope, criterion, every, prefill, leaky, headSparsity, neuronSparsity } = choice
  const how = { compensate: choice.compensate, ridge: choice.ridge, promptShare: choice.promptShare }
  const predictors = await openPredictors(predictorBeside(opt.weightsFile), opt.model, flags)
  try {
    if (planners.includes('shadow')) await noteOtherUse(session, opt, flags)
    // The model's own is not named, and comes first.
    const named = predictors.slice(predictors.length - flags.predictor.length)
    checkKinds(
      planners,
      named.map(({ kind }, i) => ({ path: flags.predictor[i], kind })),
    )
    const sources = {
      mean: await calibratedMean(opt, flags),
      predictors,
      moments: await momentsOf(opt, flags),
    }
    const shares = { sparsities, headSparsity, neuronSparsity }
    const when = { every, prefill, leaky, paperCompatible }
    const options = { planners, ...shares, scope, criterion, ...how, ...when, sources }
    return await work({ methods: compareMethods(opt.model, options), sources })
  } finally {
    for (const predictor of predictors) predictor.dispose()
  }
}

/** The flags that say which predictors are opened. */
interface PredictorFlags {
  readonly planner: readonly string[]
  readonly predictor: readonly string[]
}

/**
 * Opens the predictors of a model.
 * @param beside the path of the model's own predictor
 * @throws MissingError PREDICTOR_MISSING; InputError PREDICTOR_MODEL and those of files
 */
export async function openPredictors(
  beside: string,
  model: LanguageModel,
  flags: PredictorFlags,
): Promise<Predictor[]> {
  const { openPredictor } = await import('../predictor/predictor_file.ts')
  const opened: Predictor[] = []
  try {
    for (const path of await predictorPaths(beside, model.config, flags)) {
      const predictor = await openPredictor(await findPredictor(path), model.backend, model.weights.storage)
      opened.push(predictor)
      checkPredictor(predictor, model.config, path)
    }
    return opened
  } catch (error) {
    for (const predictor of opened) predictor.dispose()
    throw error
  }
}

/**
 * The predictors named, and for the shadow planner the model's own: the one beside it, or that of this package.
 * @throws MissingError PREDICTOR_MISSING if the shadow planner has neither
 */
async function predictorPaths(
  beside: string,
  model: KnownShape,
  { planner, predictor }: PredictorFlags,
): Promise<string[]> {
  const own = planner.includes('shadow') ? await ownPredictor(beside, model) : null
  // It comes first: one that is named takes its place.
  if (own !== null) return [own, ...predictor]
  if (planner.includes('shadow') && predictor.length === 0)
    throw new MissingError(
      'PREDICTOR_MISSING',
      `planner shadow: expected --predictor, or ${beside}, got neither; "shadowllm train" makes one`,
    )
  return [...predictor]
}

/** The mean scores of the calibration, if a planner ranks by them. */
async function calibratedMean(
  opt: ShadowModel,
  { planner, calibration, criterion }: PlannerFlags,
): Promise<UnitScores | undefined> {
  const reader = planner.find((name) => needs(name, 'calibration'))
  if (reader === undefined || criterion === MOMENTS_CRITERION) return undefined
  if (calibration === undefined)
    throw new MissingError(
      'CALIBRATION_MISSING',
      `planner ${reader}: expected --calibration, got none; "shadowllm calibrate" makes one`,
    )
  return meanOf(opt, calibration, criterion)
}

/** The moments that the methods of these flags read, if any does. @throws MissingError MOMENTS_MISSING, InputError as `holdMoments` */
export async function momentsOf(
  opt: ShadowModel,
  {
    planner: planners,
    criterion,
    compensate,
    calibration,
    moments,
  }: Pick<DeciderFlags, 'compensate' | 'calibration' | 'moments'> & {
    readonly planner: readonly PlannerName[]
    readonly criterion: string
  },
): Promise<HeldMoments | undefined> {
  const reader = planners.find(
    (planner) =>
      planner !== 'dense' && readsMoments(makeMethod({ planner, sparsity: 0, criterion, compensate })),
  )
  expectMomentsRead(moments, reader !== undefined)
  if (reader === undefined) return undefined
  const { holdMoments } = await import('../compensation/open_moments.ts')
  return holdMoments(opt.model, { calibration: calibration ?? null, files: moments }, reader)
}

/** The mean scores of a calibration of this model. @throws InputError as `openCalibration`, `checkModel` and `aggregate` */
export async function meanOf(opt: ShadowModel, folder: string, criterion: string): Promise<UnitScores> {
  const { openCalibration } = await import('../calibration/open.ts')
  const opened = await openCalibration(folder)
  opened.checkModel({ ...opt.model.shape, ...featureWidths(opt.config) })
  return opened.aggregate(criterion)
}
