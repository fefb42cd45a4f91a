/**
 * `shadowllm reproduce`: the main job. ShadowLLM from calibration to perplexity and speed, beside its baselines.
 */
import { Option, type Command } from 'commander'
import { criteria } from '../../criteria/index.ts'
import { formatTable, type ReproduceReport } from '../../eval/report.ts'
import { reproduce, type ReproduceOptions } from '../../eval/reproduce.ts'
import type { Settings } from '../../eval/settings.ts'
import type { Scope } from '../../masks/budget.ts'
import { commandArguments } from '../../platform/platform.ts'
import {
  featureScalings,
  targetScalings,
  type FeatureScaling,
  type TargetScaling,
} from '../../predictor/features.ts'
import { savePredictor as writePredictor } from '../../predictor/predictor_file.ts'
import type { ShadowOpt } from '../../shadow_opt.ts'
import { backendOption, modelOption, quietOption, seedOption, type ModelFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import { checkOutput, whileWriting, writeOutput } from '../output.ts'
import type { Session } from '../session.ts'
import { sparsityListFlag, wholeFlag } from '../values.ts'

const help = `
It scores every head and neuron by real backward passes over documents of the Brown corpus, trains the predictor on
those scores, and measures on other documents: perplexity of dense, static, random, oracle and ShadowLLM masks that
the prompt decides, and decode speed with the units really skipped. Ctrl-C reports what is finished.

Examples:
  $ shadowllm reproduce --quick
  $ shadowllm reproduce --sparsity 0.5,0.8 --seed 1 --json > report.json
  $ shadowllm reproduce --features min_max --targets per_layer    (the scalings of the released code)
  $ shadowllm reproduce -m DIR --output report.json --save-predictor predictor.safetensors`

interface ReproduceFlags extends ModelFlags {
  readonly quick?: boolean
  readonly sparsity?: readonly number[]
  readonly criterion: string
  readonly scope: Scope
  readonly limit?: number
  readonly examples?: number
  readonly features?: FeatureScaling
  readonly targets?: TargetScaling
  readonly seed: number
  readonly json?: boolean
  readonly output?: string
  readonly savePredictor?: string
}

/** Adds the command. */
export function addReproduce(program: Command, session: Session): void {
  program
    .command('reproduce')
    .description('run the whole experiment: calibrate, train the predictor, evaluate, measure')
    .option('--quick', 'a small run, less than a minute on the embedded model')
    .addOption(modelOption())
    .option('--sparsity <list>', 'shares to skip, separated by commas, such as 0.5,0.8', sparsityListFlag)
    .addOption(criterion())
    .addOption(scope())
    .option('--limit <count>', 'how many windows to score', wholeFlag('limit', { least: 1, most: Infinity }))
    .option(
      '--examples <count>',
      'how many windows to calibrate on',
      wholeFlag('examples', { least: 2, most: Infinity }),
    )
    .addOption(
      new Option('--features <scaling>', 'how the predictor input is scaled (default: standard)').choices(
        featureScalings,
      ),
    )
    .addOption(
      new Option('--targets <scaling>', 'how the scores it learns are scaled (default: raw)').choices(
        targetScalings,
      ),
    )
    .addOption(seedOption())
    .addOption(backendOption())
    .option('--json', 'print one JSON object instead of the table')
    .option('-o, --output <file>', 'also write the JSON object to a file')
    .option('--save-predictor <file>', 'write the trained predictor to a file')
    .addOption(quietOption())
    .addHelpText('after', help)
    .action((flags: ReproduceFlags) => runReproduce(session, flags))
}

function criterion(): Option {
  const names = criteria.map(({ name }) => name)
  return new Option('--criterion <name>', 'what units are scored by').choices(names).default('plainact')
}

function scope(): Option {
  const description = 'whether units compete over the model or within their layer'
  return new Option('--scope <name>', description).choices(['global', 'per-layer']).default('global')
}

async function runReproduce(session: Session, flags: ReproduceFlags): Promise<void> {
  for (const path of [flags.output, flags.savePredictor]) if (path !== undefined) await checkOutput(path)
  await show(session, await withModel(session, flags, (opt) => run(session, opt, flags)), flags)
  // What was finished has been shown; how it ended is for the exit code.
  session.signal.throwIfAborted()
}

function run(session: Session, opt: ShadowOpt, flags: ReproduceFlags): Promise<ReproduceReport> {
  const { quick, criterion, scope, seed, savePredictor } = flags
  const options: ReproduceOptions = {
    model: opt.model,
    modelName: opt.name,
    modelFiles: opt.files,
    encode: (text) => opt.encode(text),
    settings: settingsOf(flags),
    onPredictor: async (predictor) => {
      if (savePredictor === undefined) return
      await whileWriting(savePredictor, () => writePredictor(savePredictor, predictor))
    },
    quick,
    criterion,
    scope,
    seed,
    argv: commandArguments(),
  }
  return reproduce(options, (progress) => session.progress.update(progress), session.signal)
}

function settingsOf({ sparsity, limit, examples, features, targets }: ReproduceFlags): Partial<Settings> {
  return {
    ...(sparsity === undefined ? {} : { sparsities: sparsity }),
    ...(limit === undefined ? {} : { evaluation: limit }),
    ...(examples === undefined ? {} : { calibration: examples }),
    ...(features === undefined ? {} : { features }),
    ...(targets === undefined ? {} : { targets }),
  }
}

async function show(session: Session, report: ReproduceReport, flags: ReproduceFlags): Promise<void> {
  const json = `${JSON.stringify(report, null, 2)}\n`
  // First what cannot be refused: minutes of work must not be lost to a full disk.
  await session.print(flags.json ? json : `${formatTable(report)}\n`)
  if (flags.output !== undefined) await writeOutput(flags.output, json)
}
