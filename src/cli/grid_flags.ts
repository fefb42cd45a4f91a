/**
 * Flags that choose cells of the grid: `reproduce --experiment grid`.
 */
import type { Command } from 'commander'
import { unitChoices, type GridChoice, type GridWindow, type Units } from '../experiments/grid_cells.ts'
import { predictorBeside } from '../io/named_predictor.ts'
import type { UnitScores } from '../masks/selection.ts'
import { everyTokens, prefillOption, type Prefill } from '../masks/planner.ts'
import { plannerOption, type Every, type PlannerName } from '../planners/index.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import type { ShadowModel } from '../library/shadow_model.ts'
import { UsageError } from '../tensor/errors.ts'
import { nameOption, orWord, type OptionRecord } from '../tensor/option.ts'
import { addFlags } from './flags.ts'
import { meanOf, openPredictors } from './planner_flags.ts'
import { listOf, addOwnFlags } from './values.ts'

/** What a command is given that may run the grid. */
export interface GridFlags {
  readonly planner?: readonly PlannerName[]
  readonly predictor: readonly string[]
  readonly calibration?: string
  readonly units?: readonly Units[]
  readonly prefill?: readonly Prefill[]
  readonly every?: readonly Every[]
  readonly windows?: readonly GridWindow[]
}

/** Adds the flags to a command. */
export function addGridFlags(command: Command): Command {
  command.addOption(
    listOf('--planner <list>', 'grid: planners, separated by commas (default: all)', plannerOption),
  )
  return addOwnFlags(addFlags(command, 'predictor'), [
    [
      '--calibration <dir>',
      'grid: a calibration, whose mean scores static and others rank by (default: of --examples)',
    ],
    listOf(
      '--units <list>',
      `grid: which units are skipped, of ${unitChoices.join(', ')} (default: each)`,
      nameOption('UNITS', unitChoices),
    ),
    listOf('--prefill <list>', 'grid: how the prompt runs, dense or masked (default: each)', prefillOption),
    listOf(
      '--every <list>',
      'grid: when is decided, once or after so many tokens (default: each)',
      orWord('once', everyTokens),
    ),
    listOf(
      '--windows <list>',
      'grid: tokens of a prompt and of what follows, such as 128+128,32+224 (default: three shapes)',
      windowShape,
    ),
  ])
}

const windowShape: OptionRecord = {
  code: 'VALUE',
  words: 'shapes such as 128+128',
  holds: (value) => value !== null,
  read: (text) => {
    const [, prompt, continuation] = /^(\d+)\+(\d+)$/.exec(text) ?? []
    return prompt === undefined ? null : { prompt: Number(prompt), continuation: Number(continuation) }
  },
}

const chosen = ['planner', 'calibration', 'units', 'prefill', 'every', 'windows'] as const

/** Refuses these flags where the grid is not asked for. @throws UsageError FLAGS */
export function checkGridFlags(flags: GridFlags, experiments: readonly string[]): void {
  const flag = flags.predictor.length > 0 ? 'predictor' : chosen.find((name) => flags[name] !== undefined)
  if (flag !== undefined && !experiments.includes('grid'))
    throw new UsageError(
      'FLAGS',
      `--${flag}: expected --experiment grid, got ${experiments.join(',') || 'none'}`,
    )
}

/** The cells that were asked for. */
export function gridChoice(
  { planner, units, prefill, every, windows }: GridFlags,
  sparsities: readonly number[] | undefined,
  speed: boolean,
): GridChoice {
  return {
    speed,
    ...(planner && { planners: planner }),
    ...(units && { units }),
    ...(sparsities && { sparsities }),
    ...(prefill && { prefills: prefill }),
    ...(every && { every }),
    ...(windows && { windows }),
  }
}

/** The flags as they were typed, each with its value. */
export function gridWords({ predictor, ...flags }: GridFlags): [string, string | undefined][] {
  const shapes = flags.windows?.map(({ prompt, continuation }) => `${prompt}+${continuation}`)
  return [
    ...predictor.map((file): [string, string] => ['--predictor', file]),
    ...chosen.map((name): [string, string | undefined] => [
      `--${name}`,
      name === 'calibration' ? flags.calibration : (name === 'windows' ? shapes : flags[name])?.join(','),
    ]),
  ]
}

/**
 * Opens the predictors and the calibration that were named, works with them and disposes them.
 * @throws as `openPredictors` and `meanOf`, and the work
 */
export async function withGridInputs<T>(
  opt: ShadowModel,
  { predictor, calibration }: GridFlags,
  work: (given: { readonly predictors: readonly Predictor[]; readonly mean?: UnitScores }) => Promise<T>,
): Promise<T> {
  const beside = predictorBeside(opt.weightsFile)
  const mean = calibration === undefined ? undefined : await meanOf(opt, calibration, 'plainact')
  const predictors = await openPredictors(beside, opt.model, { planner: [], predictor })
  try {
    return await work({ predictors, mean })
  } finally {
    for (const one of predictors) one.dispose()
  }
}
