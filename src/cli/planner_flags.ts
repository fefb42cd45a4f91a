/**
 * Flags of commands that compare planners, and what planners decide by, read from the files they name.
 */
import { Option, type Command } from 'commander'
import { criterionByName } from '../criteria/index.ts'
import { openCalibration } from '../calibration/open.ts'
import { Configurations, type ConfigurationOptions } from '../evaluation/configurations.ts'
import { isThere } from '../io/files.ts'
import type { Scope } from '../masks/budget.ts'
import { backendTopK, type UnitScores } from '../masks/selection.ts'
import type { MaskMode } from '../engine/active_block.ts'
import { predictorFile } from '../planner_options.ts'
import { folderOf, joinPath } from '../platform/platform.ts'
import { plannerNames, type PlannerName } from '../predictor/planners.ts'
import { openPredictor, type Predictor } from '../predictor/predictor_file.ts'
import { checkPredictor, predictorOf } from '../predictor/suitable.ts'
import type { ShadowOpt } from '../shadow_opt.ts'
import { MissingError, UsageError } from '../tensor/errors.ts'
import { deciderOptions, everyOption, modeOption } from './plan_flags.ts'
import { sparsityListFlag } from './values.ts'

/** What a command that compares planners is given. */
export interface PlannerFlags {
  readonly planner: readonly PlannerName[]
  readonly sparsity: readonly number[]
  readonly criterion: string
  readonly scope: Scope
  readonly predictor: readonly string[]
  readonly calibration?: string
  readonly every?: number
  readonly mode: MaskMode
  readonly leaky?: boolean
  readonly released?: boolean
}

/** Adds the flags to a command. */
export function addPlannerFlags(command: Command): Command {
  command
    .addOption(
      new Option(
        '--planner <list>',
        `who decides what is skipped, separated by commas: ${plannerNames.join(', ')}; dense is always measured`,
      )
        .argParser(plannerListFlag)
        .default([], 'dense'),
    )
    .option('--sparsity <list>', 'shares to skip, separated by commas', sparsityListFlag, [0.5])
  for (const option of [...deciderOptions(), everyOption(), modeOption()]) command.addOption(option)
  return command.option(
    '--leaky',
    'let planners see the whole text, answer included, as the published numbers did',
  )
}

/** Names of planners, separated by commas, without doubles. */
export function plannerListFlag(text: string): PlannerName[] {
  const names = text.split(',').map((item) => item.trim())
  for (const name of names)
    if (!plannerNames.includes(name as PlannerName))
      throw new UsageError(
        'PLANNER',
        `--planner: expected names of ${plannerNames.join(', ')}, got ${name || 'nothing'}`,
      )
  return [...new Set(names as PlannerName[])]
}

/**
 * Reads what the planners decide by, works with it and gives it back.
 * @throws MissingError PLANNER_SOURCE, PREDICTOR_MISSING; InputError PREDICTOR_MODEL, CALIBRATION_MODEL and those of files
 */
export async function withConfigurations<T>(
  opt: ShadowOpt,
  flags: PlannerFlags,
  work: (configurations: Configurations) => Promise<T>,
): Promise<T> {
  const { planner, sparsity, scope, criterion, every, leaky, released } = flags
  const predictors: Predictor[] = []
  try {
    for (const path of await predictorPaths(folderOf(opt.files[0]), flags)) {
      const predictor = await openPredictor(path, opt.model.backend, opt.model.weights.storage)
      predictors.push(predictor)
      checkPredictor(predictor, opt.config, path)
    }
    const mean = await calibratedMean(opt, flags)
    const shadow = predictorOf('shadow', predictors)
    const dejavuStyle = predictorOf('dejavu-style', predictors)
    const dejavu = predictorOf('dejavu', predictors)
    const learnt: ConfigurationOptions['learnt'] = {
      ...(shadow && { shadow: shadow.config.criterion }),
      ...(dejavuStyle && { 'dejavu-style': dejavuStyle.config.criterion }),
      ...(dejavu && { dejavu: dejavu.config.criterion }),
    }
    return await work(
      new Configurations({
        planners: planner,
        sparsities: sparsity,
        scope,
        criterion: criterionByName(criterion),
        learnt,
        sources: {
          model: opt.model,
          topK: backendTopK(opt.model.backend),
          mean,
          shadow,
          dejavuStyle,
          dejavu,
        },
        every,
        leaky,
        released,
      }),
    )
  } finally {
    for (const predictor of predictors) predictor.dispose()
  }
}

/**
 * The predictors named, and for the shadow planner the one in the model's folder where none is named.
 * @throws MissingError PREDICTOR_MISSING if the shadow planner has neither
 */
export async function predictorPaths(
  folder: string,
  { planner, predictor }: { readonly planner: readonly string[]; readonly predictor: readonly string[] },
): Promise<string[]> {
  const own = joinPath(folder, predictorFile)
  // It comes first: one that is named takes its place.
  if (planner.includes('shadow') && (await isThere(own))) return [own, ...predictor]
  if (planner.includes('shadow') && predictor.length === 0)
    throw new MissingError(
      'PREDICTOR_MISSING',
      `planner shadow: expected --predictor, or ${own}, got neither; "shadowllm train" makes one`,
    )
  return [...predictor]
}

/** The mean scores of the calibration, where static pruning asks for them. */
async function calibratedMean(
  opt: ShadowOpt,
  { planner, calibration, criterion }: PlannerFlags,
): Promise<UnitScores | undefined> {
  if (!planner.includes('static')) return undefined
  if (calibration === undefined)
    throw new MissingError(
      'CALIBRATION_MISSING',
      'planner static: expected --calibration, got none; "shadowllm calibrate" makes one',
    )
  const opened = await openCalibration(calibration)
  opened.checkModel({ ...opt.model.shape, width: opt.config.width })
  return opened.aggregate(criterion)
}
