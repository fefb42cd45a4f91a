/**
 * Flags that say which planners run and what they decide by: one planner (generate, masks), or several that are compared
 * (perplexity, eval). What several decide by is read here from the files they name.
 */
import type { Command, Option } from 'commander'
import {
  makeMethod,
  makeMethodAsLearnt,
  prefillOf,
  readsMoments,
  type ComparedMethods,
  type Method,
} from '../results/method.ts'
import { findPredictor, ownPredictor, predictorBeside } from '../io/named_predictor.ts'
import { shareOption, type Scope } from '../masks/budget.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { choiceOf, expectPlanner, expectSkipping, PlannerFiles } from '../library/planner_options.ts'
import {
  kindsNeeded,
  needs,
  plannerOption,
  plannersThat,
  predictorKindOf,
  type PlannerName,
} from '../planners/index.ts'
import type { PredictorKind } from '../predictor/predictor_config.ts'
import type { LearntUse } from '../predictor/predictor_file.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { UsageError } from '../tensor/errors.ts'
import type { NameOption } from '../tensor/option.ts'
import { flagName } from './flag_name.ts'
import { addFlags, groups, type SharedFlags } from './flags.ts'
import type { Session } from './session.ts'
import { addOwnFlags, flagOf, listOf, sharesOf, type FlagsOf } from './values.ts'
import { featureWidths, hasZeroGates, isGated } from '../engine/config.ts'
import { formatPercent } from './words.ts'

const shareFlags = [
  [
    '--head-sparsity <share>',
    'share of heads to skip; 0 for neurons alone (default: that of --sparsity)',
    shareOption,
  ],
  [
    '--neuron-sparsity <share>',
    'share of neurons to skip; 0 for heads alone (default: that of --sparsity)',
    shareOption,
  ],
] as const
const releasedFlag = [
  '--released, --paper-compatible',
  'select as the code that was released with the paper does, which ranks layer 0 too',
] as const
const calibrationFlag = [
  '--calibration <dir>',
  'a calibration, whose mean scores static and others rank by, and whose moments compensate (default: none)',
] as const

/** What decides, whether a command runs one planner or compares several. */
type DeciderFlags = FlagsOf<typeof shareFlags | readonly [typeof releasedFlag, typeof calibrationFlag]> &
  SharedFlags<'criterion' | 'scope' | 'predictor' | 'moments'> &
  Partial<SharedFlags<'compensate' | 'ridge' | 'promptShare' | 'prefill' | 'check' | 'json' | 'quiet'>> & {
    /** Whether a share was asked for without a planner. */
    readonly isPlannerImplied?: boolean
  }

/** Adds the flags of planners, of shares and of what planners decide by. @param usual what stands for the planner that a share implies */
function addDeciderFlags(command: Command, [planner, sparsity]: readonly Option[], usual: unknown): void {
  const shares = shareFlags.map(([flags, words, option]) => flagOf(flags, words, option))
  for (const share of [sparsity, ...shares]) share.implies({ planner: usual })
  addOwnFlags(command, [planner, sparsity])
  addOwnFlags(command, [...shares, releasedFlag], groups.masks)
  addFlags(command, 'scope', 'criterion', 'predictor')
  addOwnFlags(command, [calibrationFlag], groups.learnt)
  addFlags(command, 'moments')
  refuseSharesOfDense(command)
}

/** Adds the flags of what takes the place of skipped units. */
export function addCompensationFlags(command: Command): Command {
  return addFlags(command, 'compensate', 'ridge', 'promptShare')
}

/** What a share alone means, in helps; "shadowllm planners" has the whole rule, which is that of `ShadowModel.usualPlanner`. */
const usualWords = 'shadow for OPT, griffin for Llama and other gated models'

// ---- One planner -----------------------------------------------------------------------------------------------------

/** What a command that runs one planner is given. */
export interface PlanFlags extends DeciderFlags {
  readonly planner: PlannerName
  readonly sparsity: number
  readonly seed: number
}

/** Adds the flags. */
export function addPlanFlags(
  command: Command,
  planners: NameOption<PlannerName>,
  usual: 'dense' | 'shadow',
): Command {
  const planner = flagOf(
    '--planner <name>',
    'what decides which units are skipped, such as shadow or griffin; "shadowllm planners" lists all',
    // Helps leave out the names, which are many.
    { ...planners, names: undefined },
  ).default(usual, usual === 'dense' ? `dense; with --sparsity alone ${usualWords}` : usualWords)
  const sparsity = flagOf(
    '--sparsity <share>',
    "share to skip, from 0 to 1, of the heads and neurons after layer 0; the share of the layers' weights is smaller, because layer 0 is always computed, and with griffin and others every head too",
    shareOption,
  ).default(0.5, usual === 'dense' ? '0.5; without --planner and --sparsity nothing is skipped' : undefined)
  addDeciderFlags(command, [planner, sparsity], 'shadow')
  command.hook('preAction', (_, called) => {
    const flags = called.opts<PlanFlags>()
    if (called.getOptionValueSource('planner') === 'cli') expectPlanner(flags.planner, choiceOf(flags), flags)
  })
  return addFlags(command, 'seed')
}

/**
 * Reads the files that were named, and settles which planner a share alone means.
 * @param mayChange whether other planners may follow the one named, as in a conversation
 * @param writes whether text is written, whose reader is told what a mask costs it
 * @returns the flags, with that planner, for which masks the predictor of `shadow` was learnt, also in words beside what is asked for, and
 *   the planners whose files are there
 * @throws UsageError PREDICTOR_KIND for a predictor that no planner reads; and as `ShadowModel.loadPredictor` and
 *   `loadCalibration`
 */
export async function loadPlanFiles<Flags extends PlanFlags>(
  session: Session,
  opt: ShadowModel,
  flags: Flags,
  mayChange = false,
  writes = true,
): Promise<
  Flags & {
    readonly learnt: LearntUse | null
    readonly learntWords: (asked: ShadowFlags) => string | null
    readonly usable: readonly PlannerName[]
  }
> {
  const { moments, criterion, compensate, sparsity, neuronSparsity = sparsity } = flags
  const found = await readNamed(opt, flags)
  const planner = flags.isPlannerImplied ? await opt.usualPlanner(choiceOf(flags)) : flags.planner
  const needed = kindsNeeded([planner])
  const isServed = needed.length === 0 || found.some(({ kind }) => needed.includes(kind))
  if (!mayChange || !isServed) checkKinds([planner], found)
  const method = makeMethod({ planner, sparsity: 0, criterion, compensate })
  expectMomentsRead(moments, mayChange || readsMoments(method))
  for (const path of moments) opt.addMoments(path)
  const words = writes ? costWords(opt, planner, neuronSparsity) : []
  if (planner !== flags.planner) words.unshift(impliedWords(planner))
  await tell(session, flags, words)
  const file = await shadowFile(opt, found)
  const learnt = planner === 'shadow' || mayChange ? await learntBy(file) : null
  const learntWords = (asked: ShadowFlags): string | null => learnt && useWords(learnt, shadowAsked(asked))
  const used = planner === 'shadow' ? learntWords(flags) : null
  if (used !== null) await tell(session, flags, [used])
  const usable = plannersThat(({ name }) => {
    const kind = predictorKindOf(name)
    if (kind === null) return flags.calibration !== undefined || !needs(name, 'calibration')
    return found.some((one) => one.kind === kind) || (kind === 'shadow' && file !== null)
  })
  return { ...flags, planner, learnt: learnt && learnt.use, learntWords, usable }
}

/** As `loadPlanFiles`, for the one planner that runs: as its predictor was learnt, where flags leave that open. */
export async function settlePlan<Flags extends PlanFlags>(
  session: Session,
  opt: ShadowModel,
  asked: Flags,
  writes = true,
): Promise<Flags & { readonly scope: Scope }> {
  const flags = await loadPlanFiles(session, opt, asked, false, writes)
  const { planner, sparsity } = flags
  if (planner !== 'shadow')
    return { ...flags, scope: makeMethod({ planner, sparsity, scope: flags.scope }).scope }
  const { scope, prefill, headSparsity, neuronSparsity } = makeMethodAsLearnt(
    shadowAsked(flags),
    flags.learnt,
  )
  return { ...flags, scope, prefill, headSparsity, neuronSparsity }
}

/** Refuses predictors that are no files of tensors, before a model is read. @throws InputError as `openSafetensors` */
export async function checkPredictors(paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return
  const { learntUse } = await import('../predictor/predictor_file.ts')
  for (const path of paths) await learntUse(await findPredictor(path))
}

/** Reads the predictors and the calibration that were named. */
async function readNamed(
  opt: Pick<ShadowModel, 'loadPredictor' | 'loadCalibration'>,
  { predictor, calibration }: Pick<DeciderFlags, 'predictor' | 'calibration'>,
): Promise<NamedKind[]> {
  const found: NamedKind[] = []
  for (const path of predictor) found.push({ path, kind: await opt.loadPredictor(path) })
  if (calibration !== undefined) await opt.loadCalibration(calibration)
  return found
}

/** A line about what flags mean, unless only data is asked for. */
async function tell(
  session: Session,
  { json, quiet }: Pick<DeciderFlags, 'json' | 'quiet'>,
  words: readonly string[],
): Promise<void> {
  if (!json && !quiet && words.length > 0) await session.note(words.join('; '))
}

/** Why a planner that was not named decides. */
function impliedWords(planner: PlannerName): string {
  return `planner ${planner}, as none was named; it skips neurons alone`
}

/** A share of the neurons of a gated model from which on its text suffers much. */
const COSTLY_SHARE = 0.5

/**
 * What a planner costs: such a share of a gated model, whose neurons are never zero, and what is gained by none.
 * @param advised what is typed for a lower share
 */
export function costWords(
  { config }: Pick<ShadowModel, 'config'>,
  planner: PlannerName,
  neuronSparsity: number,
  advised = '--sparsity 0.3',
): string[] {
  if (planner === 'dense') return []
  if (planner === 'cats' && hasZeroGates(config))
    return [
      'after ReLU most gates are zero, which costs nothing without cats: it skips weights only beyond the share of those',
    ]
  if (!isGated(config) || neuronSparsity < COSTLY_SHARE) return []
  const named = new Map([
    [COSTLY_SHARE, 'half'],
    [1, 'all'],
  ])
  return [
    `${named.get(neuronSparsity) ?? formatPercent(neuronSparsity)} of the neurons of a gated model cost it much of its sense: ${advised} costs less`,
  ]
}

/** The predictor of `shadow`: the last of its kind that was named, else the model's own. */
async function shadowFile(opt: ShadowModel, found: readonly NamedKind[]): Promise<string | null> {
  const named = found.findLast(({ kind }) => kind === 'shadow')
  return named?.path ?? ownPredictor(predictorBeside(opt.weightsFile), opt.config)
}

/** A predictor that says for which masks it was learnt. */
interface Learnt {
  readonly file: string
  readonly use: LearntUse
}

/** The predictor of `shadow`, if it says for which masks it was learnt. */
async function learntBy(file: string | null): Promise<Learnt | null> {
  if (file === null) return null
  const { learntUse } = await import('../predictor/predictor_file.ts')
  const use = await learntUse(await findPredictor(file))
  return use && { file, use }
}

/**
 * For which masks the predictor of `shadow` was learnt, and where other ones are asked for.
 * @param given what is asked for
 */
function useWords({ file, use: learnt }: Learnt, given: Parameters<typeof makeMethod>[0]): string {
  const method = makeMethodAsLearnt(given, learnt)
  const used = { ...method, prefill: prefillOf(method) }
  const told = (['scope', 'prefill', 'headSparsity', 'neuronSparsity'] as const).filter(
    (name) => learnt[name] !== undefined,
  )
  const valueOf = (use: Partial<Method>, name: (typeof told)[number]): unknown => use[name] ?? use.sparsity
  const differing = told.filter((name) => valueOf(learnt, name) !== valueOf(used, name))
  const words = (use: Partial<Method>, names: typeof told): string =>
    names.map((name) => `${flagName(name)} ${valueOf(use, name)}`).join(' ')
  return differing.length === 0
    ? `${file}: used as it was learnt, ${words(learnt, told)}`
    : `${file}: learnt with ${words(learnt, differing)}, used with ${words(used, differing)}`
}

/** What is asked of the planner `shadow`. */
export type ShadowFlags = Pick<
  Partial<Method> & { readonly check?: number },
  'headSparsity' | 'neuronSparsity' | 'scope' | 'prefill' | 'check' | 'promptShare' | 'paperCompatible'
> & { readonly sparsity: number }

/** What the flags ask of the planner `shadow`. */
function shadowAsked(flags: ShadowFlags): Parameters<typeof makeMethod>[0] {
  const { sparsity, headSparsity, neuronSparsity, scope, prefill, check, promptShare, paperCompatible } =
    flags
  // What is checked follows a dense prompt.
  const before = prefill ?? (check === undefined ? undefined : 'dense')
  const shares = { sparsity, headSparsity, neuronSparsity }
  return { planner: 'shadow', ...shares, scope, prefill: before, promptShare, paperCompatible }
}

/** Refuses moments that no method reads: they would have no effect. @throws UsageError FLAGS */
export function expectMomentsRead(moments: readonly string[], isRead: boolean): void {
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
    const isNamed = called.getOptionValueSource('planner') === 'cli'
    called.setOptionValue('isPlannerImplied', !isNamed && planners.includes('shadow'))
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

/** Flags of when and how a mask is decided, which without one have no effect. */
const maskedOnly = ['every', 'prefill', 'check', 'leaky', 'paperCompatible'] as const

/**
 * Refuses such flags where nothing is skipped.
 * @param mayFollow whether a planner may come from elsewhere, such as from a session
 */
export function refuseWithoutMask(
  command: Command,
  mayFollow: (called: Command) => boolean = () => false,
): Command {
  return command.hook('preAction', (_, called) => {
    const planners = [called.getOptionValue('planner') as string | readonly string[]].flat()
    if (planners.some((name) => name !== 'dense') || mayFollow(called)) return
    const isNamed = called.getOptionValueSource('planner') === 'cli'
    for (const name of maskedOnly)
      if (called.getOptionValueSource(name) === 'cli')
        throw new UsageError(
          'FLAGS',
          `${flagName(name)}: expected a --planner or a --sparsity beside it, because dense skips nothing, got ${isNamed ? planners.join(',') : 'neither'}`,
        )
  })
}

// ---- Several planners ------------------------------------------------------------------------------------------------

/** What a command that compares planners is given. */
export interface PlannerFlags extends DeciderFlags, SharedFlags<'every' | 'mode'> {
  readonly planner: readonly PlannerName[]
  readonly sparsity: readonly number[]
  readonly leaky?: boolean
}

/** Adds the flags to a command. */
export function addPlannerFlags(command: Command): Command {
  const planner = listOf(
    '--planner <list>',
    'planners to compare, separated by commas, such as griffin,static; "shadowllm planners" lists all; dense is always measured',
    plannerOption,
  ).default([], `none; with --sparsity alone ${usualWords}`)
  const sparsity = sharesOf(
    '--sparsity <list>',
    'shares to skip of the heads and neurons after layer 0, separated by commas',
    [0.5],
  )
  addDeciderFlags(command, [planner, sparsity], ['shadow'])
  addFlags(addCompensationFlags(command), 'every', 'prefill', 'mode')
  const leaky = 'let planners see the whole text, answer included, as the published numbers did'
  return refuseWithoutMask(addOwnFlags(command, [['--leaky', leaky]], groups.masks))
}

/**
 * Reads what the planners decide by, works with it and gives it back.
 * @throws MissingError PLANNER_SOURCE, and as `PlannerFiles.sources`; InputError as `openPlannerFiles`
 */
export async function withMethods<T>(
  session: Session,
  opt: ShadowModel,
  asked: PlannerFlags,
  work: (compared: ComparedMethods) => Promise<T>,
): Promise<T> {
  const { sparsity: sparsities, paperCompatible, criterion, ...choice } = asked
  const { scope, every, prefill, leaky, headSparsity, neuronSparsity, compensate, ridge, promptShare } =
    choice
  const { storage } = opt.model.weights
  if (storage === 'f32' && opt.fileStorage !== storage)
    await tell(session, asked, [
      `weights as f32; generate, chat and serve hold those of this file as ${opt.fileStorage}, as --storage file does here`,
    ])
  const { files, found } = await openPlannerFiles(opt.model, predictorBeside(opt.weightsFile), asked)
  try {
    const planners = asked.isPlannerImplied
      ? [await files.usual(choiceOf({ ...choice, sparsity: sparsities[0] }))]
      : asked.planner
    if (asked.isPlannerImplied && planners[0] !== 'shadow')
      await tell(session, asked, [impliedWords(planners[0])])
    checkKinds(planners, found)
    const shares = { headSparsity, neuronSparsity }
    const when = { every, prefill, leaky, paperCompatible, compensate, ridge, promptShare }
    const given = { planner: 'shadow', sparsity: sparsities[0], ...shares, scope, ...when } as const
    const compared = await files.compared({ planners, sparsities, ...shares, scope, criterion, ...when })
    expectMomentsRead(asked.moments, compared.sources.moments !== undefined)
    const learnt = planners.includes('shadow') ? await learntBy(await shadowFile(opt, found)) : null
    if (learnt) await tell(session, asked, [useWords(learnt, given)])
    return await work(compared)
  } finally {
    files.dispose()
  }
}

/**
 * Opens the files that planners of a model decide by: those named. Dispose them.
 * @param beside the path of the model's own predictor
 * @throws InputError PREDICTOR_MODEL, CALIBRATION_MODEL and those of files
 */
export async function openPlannerFiles(
  model: LanguageModel,
  beside: string,
  named: Pick<DeciderFlags, 'predictor' | 'calibration'> & Partial<Pick<DeciderFlags, 'moments'>>,
): Promise<{ readonly files: PlannerFiles; readonly found: readonly NamedKind[] }> {
  const files = new PlannerFiles(model, beside)
  try {
    const found = await readNamed(files, named)
    for (const path of named.moments ?? []) files.addMoments(path)
    return { files, found }
  } catch (error) {
    files.dispose()
    throw error
  }
}

/** The mean scores of a calibration of this model. @throws InputError as `openCalibration`, `checkModel` and `aggregate` */
export async function meanOf(opt: ShadowModel, folder: string, criterion: string): Promise<UnitScores> {
  const { openCalibration } = await import('../calibration/open.ts')
  const opened = await openCalibration(folder)
  opened.checkModel({ ...opt.model.shape, ...featureWidths(opt.config) })
  return opened.aggregate(criterion)
}
