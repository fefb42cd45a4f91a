/**
 * Flags that choose cells of the grid: `reproduce --experiment grid`.
 */
import { Option, type Command } from 'commander'
import { unitChoices, type GridChoice } from '../experiments/grid_cells.ts'
import { predictorBeside } from '../io/named_predictor.ts'
import { MOMENTS_CRITERION } from '../criteria/index.ts'
import type { CacheOptions } from '../experiments/cache/experiment_cache.ts'
import { compensateOption, compensations, promptShareOption } from '../masks/compensation.ts'
import { everyTokens, prefillOption } from '../masks/planner.ts'
import { plannerOption } from '../planners/index.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { UsageError } from '../tensor/errors.ts'
import { present } from '../tensor/records.ts'
import { nameOption, orWord, type OptionRecord } from '../tensor/option.ts'
import { flagName } from './flag_name.ts'
import { addFlags } from './flags.ts'
import { expectMomentsRead, openPlannerFiles } from './planner_flags.ts'
import { addOwnFlags, listOf, sharesOf } from './values.ts'

/** What of a choice each flag gives, by the name of the flag. */
const chosen = {
  planner: 'planners',
  units: 'units',
  sparsity: 'sparsities',
  headSparsity: 'headSparsities',
  prefill: 'prefills',
  every: 'every',
  windows: 'windows',
  compensate: 'compensate',
  promptShare: 'promptShares',
  scores: 'scores',
} as const satisfies Record<string, keyof GridChoice>

/** What a command is given that may run the grid. */
export type GridFlags = { readonly [Name in keyof typeof chosen]?: GridChoice[(typeof chosen)[Name]] } & {
  readonly scope?: GridChoice['scope']
  readonly predictor: readonly string[]
  readonly calibration?: string
  readonly moments: readonly string[]
}

/** Adds the flags to a command. */
export function addGridFlags(command: Command): Command {
  addFlags(command, 'predictor', 'moments')
  const rows = [
    listOf(
      '--planner <list>',
      'planners, separated by commas, each in both scopes unless --scope names one (default: all)',
      plannerOption,
    ),
    new Option(
      '--calibration <dir>',
      'a calibration, whose mean scores static and others rank by (default: of --examples)',
    ),
    listOf(
      '--units <list>',
      `which units are skipped, of ${unitChoices.join(', ')} (default: each)`,
      nameOption('UNITS', unitChoices),
    ),
    sharesOf(
      '--head-sparsity <list>',
      'shares of heads; --sparsity is of neurons then, and both are skipped by each pair (default: --sparsity)',
    ),
    listOf('--prefill <list>', 'how the prompt runs, dense or masked (default: each)', prefillOption),
    listOf(
      '--every <list>',
      'when is decided, once or after so many tokens (default: each)',
      orWord('once', everyTokens),
    ),
    listOf(
      '--windows <list>',
      'tokens of a prompt and of what follows, such as 128+128,32+224 (default: three shapes)',
      windowShape,
    ),
    listOf(
      '--compensate <list>',
      `what takes the place of what is skipped, of ${compensations.join(', ')}, by the moments of --calibration (default: none)`,
      compensateOption,
    ),
    listOf(
      '--prompt-share <list>',
      'shares of the prompt in the moments of least squares, such as 0,0.2 (default: 0)',
      promptShareOption,
    ),
    listOf(
      '--scores <list>',
      `what mean scores are of, of ${scoreNames.join(', ')} (default: plainact)`,
      nameOption('CRITERION_NAME', scoreNames),
    ),
  ]
  return addOwnFlags(command, rows, 'With --experiment grid:')
}

const scoreNames = ['plainact', MOMENTS_CRITERION]

const windowShape: OptionRecord = {
  code: 'VALUE',
  words: 'shapes such as 128+128',
  holds: (value) => value !== null,
  read: (text) => {
    const [, prompt, continuation] = /^(\d+)\+(\d+)$/.exec(text) ?? []
    return prompt === undefined ? null : { prompt: Number(prompt), continuation: Number(continuation) }
  },
}

const [first, ...others] = (Object.keys(chosen) as (keyof typeof chosen)[]).filter(
  (name) => name !== 'sparsity',
)
/** The flags of the grid alone, in the order of a command: other experiments have --sparsity too. */
const ownNames = [first, 'calibration', ...others] as const

/** Refuses these flags where the grid is not asked for. @throws UsageError FLAGS */
export function checkGridFlags(flags: GridFlags, experiments: readonly string[]): void {
  const listed = (['predictor', 'moments'] as const).find((name) => flags[name].length > 0)
  const flag = listed ?? ownNames.find((name) => flags[name] !== undefined)
  if (flag !== undefined && !experiments.includes('grid'))
    throw new UsageError(
      'FLAGS',
      `${flagName(flag)}: expected --experiment grid, got ${experiments.join(',') || 'none'}`,
    )
  const { units, sparsity, headSparsity } = flags
  if (headSparsity && units?.every((one) => one === 'neurons'))
    throw new UsageError('FLAGS', '--head-sparsity: expected --units heads or both, got neurons')
  if (headSparsity && sparsity && units?.every((one) => one === 'heads'))
    throw new UsageError(
      'FLAGS',
      '--sparsity: expected --units neurons or both beside --head-sparsity, got heads',
    )
}

/** The cells that were asked for. */
export function gridChoice(flags: GridFlags, speed: boolean): GridChoice {
  const names = Object.keys(chosen) as (keyof typeof chosen)[]
  const given = names.map((name) => [chosen[name], flags[name]] as const)
  return { speed, ...present({ scope: flags.scope, ...Object.fromEntries(given) }) }
}

/** The flags as they were typed, each with its value. */
export function gridWords({ predictor, moments, ...flags }: GridFlags): [string, string | undefined][] {
  const shapes = flags.windows?.map(({ prompt, continuation }) => `${prompt}+${continuation}`)
  return [
    ['--scope', flags.scope],
    ...predictor.map((file): [string, string] => ['--predictor', file]),
    ...moments.map((file): [string, string] => ['--moments', file]),
    ...ownNames.map((name): [string, string | undefined] => [
      flagName(name),
      name === 'calibration' ? flags.calibration : (name === 'windows' ? shapes : flags[name])?.join(','),
    ]),
  ]
}

/**
 * Opens the predictors and the calibration that were named, works with them and disposes them.
 * @throws as `openPlannerFiles` and `PlannerFiles.sources`, and the work
 */
export async function withGridInputs<T>(
  opt: ShadowModel,
  flags: GridFlags,
  work: (given: Pick<CacheOptions, 'predictors' | 'mean' | 'moments'>) => Promise<T>,
): Promise<T> {
  const { calibration, compensate = [], scores = [], moments: named } = flags
  const isRead = compensate.some((by) => by !== 'none') || scores.includes(MOMENTS_CRITERION)
  expectMomentsRead(named, isRead)
  const { files } = await openPlannerFiles(opt.model, predictorBeside(opt.weightsFile), flags)
  try {
    const ranking = calibration === undefined ? [] : (['static'] as const)
    const { predictors, mean } = await files.sources(ranking, { criterion: 'plainact' })
    const { moments } = await files.sources(isRead ? ['static'] : [], { criterion: MOMENTS_CRITERION })
    return await work({ predictors, mean, moments })
  } finally {
    files.dispose()
  }
}
