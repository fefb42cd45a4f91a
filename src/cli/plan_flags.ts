/**
 * Flags of commands that run one planner: which, how much it skips, and the files it decides by.
 */
import { Option, type Command } from 'commander'
import { criteria } from '../criteria/index.ts'
import { scopes, type Scope } from '../masks/budget.ts'
import { maskModes } from '../engine/active_block.ts'
import type { PlannerChoice } from '../planner_options.ts'
import type { PlannerName } from '../predictor/planners.ts'
import type { ShadowOpt } from '../shadow_opt.ts'
import { seedOption } from './flags.ts'
import { shareFlag, sparsityFlag, wholeFlag } from './values.ts'

/** What such a command is given. */
export interface PlanFlags {
  readonly planner: PlannerName
  readonly predictor: readonly string[]
  readonly calibration?: string
  readonly criterion: string
  readonly scope: Scope
  readonly sparsity: number
  readonly headSparsity?: number
  readonly neuronSparsity?: number
  readonly released?: boolean
  readonly seed: number
}

const meanings: Record<PlannerName, string> = {
  dense: 'everything is computed',
  static: 'what mattered most in a calibration stays, whatever the prompt: --calibration',
  random: 'a random choice of heads and neurons is skipped',
  oracle: 'what matters most to the continuation stays; it has to be known',
  'prompt-plainact':
    "what matters most to the prompt's own loss stays: a forward and a backward pass over it",
  shadow: `what the predictor expects to matter most stays: --predictor, else predictor.safetensors in the
                   model's folder (the embedded model has one)`,
  'dejavu-style': 'the same, predicted layer by layer from a dense pass over the prompt: --predictor',
  dejavu: 'each layer decides from the stream one layer earlier: --predictor',
}

/** Planners and what they do, for help texts. */
export function plannersHelp(planners: readonly PlannerName[]): string {
  const width = Math.max(...planners.map(({ length }) => length))
  return `\nPlanners:\n${planners.map((name) => `  ${name.padEnd(width)}  ${meanings[name]}`).join('\n')}`
}

/** Adds the flags. */
export function addPlanFlags(
  command: Command,
  planners: readonly PlannerName[],
  usual: PlannerName,
): Command {
  command
    .addOption(new Option('--planner <name>', 'who decides what is skipped').choices(planners).default(usual))
    .option('--sparsity <share>', 'share of heads and neurons to skip, from 0 to 1', sparsityFlag, 0.5)
    .option('--head-sparsity <share>', 'of heads, where it is another', shareFlag('head-sparsity'))
    .option('--neuron-sparsity <share>', 'of neurons, where it is another', shareFlag('neuron-sparsity'))
  for (const option of deciderOptions()) command.addOption(option)
  return command.addOption(seedOption())
}

/** Flags that say what planners decide by, whether a command runs one or compares several. */
export function deciderOptions(): Option[] {
  return [
    new Option('--criterion <name>', 'what the oracle, static and prompt planners score by')
      .choices(criteria.map(({ name }) => name))
      .default('plainact'),
    new Option('--scope <name>', 'what units compete with').choices(scopes).default('global'),
    new Option(
      '--predictor <file>',
      'a trained predictor; its kind says whose it is, so give one for each planner that needs one',
    )
      .argParser((file: string, before: readonly string[]) => [...before, file])
      .default([], 'none'),
    new Option('--calibration <dir>', 'a calibration, whose mean scores the static planner ranks by'),
    new Option('--released', 'select as the released code does'),
  ]
}

/** Ask again. */
export function everyOption(): Option {
  return new Option(
    '--every <count>',
    'decide again after so many tokens (default: once; dejavu: every token)',
  ).argParser(wholeFlag('every', { least: 1, most: Infinity }))
}

/** How a mask is carried out. */
export function modeOption(): Option {
  const description =
    'how a mask is carried out: pack what stays, skip the rest in place, simulate by multiplying, or whichever is cheapest'
  return new Option('--mode <name>', description).choices(maskModes).default('auto')
}

/** Reads the files that were named. @throws as `ShadowOpt.loadPredictor` and `loadCalibration` */
export async function loadPlanFiles(opt: ShadowOpt, { predictor, calibration }: PlanFlags): Promise<void> {
  for (const path of predictor) await opt.loadPredictor(path)
  if (calibration !== undefined) await opt.loadCalibration(calibration)
}

/** The flags as the library takes them. */
export function choiceOf(flags: PlanFlags): PlannerChoice {
  const { sparsity, headSparsity, neuronSparsity, scope, criterion, released, seed } = flags
  return { sparsity, headSparsity, neuronSparsity, scope, criterion, released, seed }
}
