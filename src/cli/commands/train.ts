/**
 * `shadowllm train`: a predictor of any kind from a calibration, judged on examples it never saw.
 */
import type { Command } from 'commander'
import type { Backend } from '../../backends/backend.ts'
import { createBackend } from '../../backends/select.ts'
import type { Calibration } from '../../calibration/open.ts'
import { openCalibration } from '../../calibration/open.ts'
import { scopeOption } from '../../masks/budget.ts'
import { backendTopK } from '../../masks/selection.ts'
import { now } from '../../platform/platform.ts'
import { losses, predictorKinds, type PredictorConfig } from '../../predictor/predictor_config.ts'
import type { CalibrationExample } from '../../predictor/example.ts'
import { featureScalings, poolings, targetScalings } from '../../predictor/features.ts'
import { DEFAULT_SHARES, makePredictorConfig } from '../../predictor/make_predictor_config.ts'
import {
  matrixTypes,
  predictorTensors,
  savePredictor,
  type Predictor,
} from '../../predictor/predictor_file.ts'
import { UsageError } from '../../tensor/errors.ts'
import { contestants, judgePredictor, type Contestant, type Verdict } from '../../training/judge_predictor.ts'
import { pause } from '../../platform/pause.ts'
import { splitExamples } from '../../training/split.ts'
import {
  trainPredictor,
  type TrainedPredictor,
  type TrainingProgress,
} from '../../training/train_predictor.ts'
import { addFlags, flagDefaults, type SharedFlags } from '../flags.ts'
import { checkOutput, whileWriting } from '../output.ts'
import { printResult } from '../report.ts'
import type { Screen } from '../screen.ts'
import type { Session } from '../session.ts'
import { countOf, formatColumns, formatCount } from '../words.ts'
import { unitKinds } from '../../masks/mask.ts'
import { number, oneOf, parsedBy, sharesOf, whole, addOwnFlags, required, type FlagsOf } from '../values.ts'
import { readOption } from '../../tensor/option.ts'

const help = `
Kinds:
  shadow         ShadowLLM: one network for heads, one for neurons, which see one early layer of the prompt
  dejavu-style   the baseline of ShadowLLM's authors: two networks for every layer, which see that layer's own heads
  dejavu         two low-rank networks for every layer, which see the stream one layer earlier and learn labels

The share --held-out is never trained on; the predictor is judged on it, beside the mean of its targets and the mean of
the scores, which are the same for every prompt and hard to beat. Of the rest a tenth chooses the epoch. Windows of one
document may be on both sides: how good a predictor is on other texts is for "perplexity --planner shadow" to say.
Overlap is with the masks of the true scores; of two masks of one size precision is recall. Ctrl-C writes nothing.

Examples:
  $ shadowllm calibrate --output traces --criteria plainact,l2norm --keep-sequence
  $ shadowllm train --calibration traces --output predictor.safetensors
  $ shadowllm train --calibration traces --output p.safetensors --pooling mean --features dataset --loss bce
  $ shadowllm train --calibration traces --output p.safetensors --kind dejavu --criterion l2norm --top 0.3
  $ shadowllm generate "The captain" --planner shadow --predictor predictor.safetensors`

const MAX_SIZE = 2 ** 24
const usual = 'default: by kind'

const ownFlags = [
  required('--calibration <dir>', 'folder that "shadowllm calibrate" wrote'),
  required('-o, --output <file>', 'file for the predictor'),
  ['--kind <name>', 'which predictor', oneOf(predictorKinds), 'shadow'],
  [
    '--criterion <name>',
    'whose scores are learnt; the calibration must have them',
    undefined,
    flagDefaults.criterion,
  ],
  ['--matrices <type>', 'type of the matrices in the file; bf16 halves it', oneOf(matrixTypes), 'f32'],
  [
    '--held-out <share>',
    'share of examples that are not trained on, to judge the predictor by',
    number(0, 0.9),
    0.2,
  ],
  sharesOf('--sparsity <list>', 'sparsities at which masks are compared', [0.5, 0.7, 0.8]),
  ['--scope <name>', 'scope of these masks (default: global for shadow, else per-layer)', scopeOption],
] as const

const predictorFlags = [
  ['--width <units>', 'hidden units of networks for neurons (default: 32)', whole(1, MAX_SIZE)],
  ['--head-width <units>', 'hidden units of networks for heads (default: 64)', whole(1, MAX_SIZE)],
  [
    '--placement, --source-layer <layer>',
    'shadow: the layer it sees; layers up to it are dense (default: 0)',
    whole(0, MAX_SIZE),
  ],
  ['--pooling <name>', 'shadow: how tokens become one row (default: last)', oneOf(poolings)],
  ['--features <name>', `how features are scaled (${usual})`, oneOf(featureScalings)],
  ['--targets <name>', `how scores are scaled (${usual})`, oneOf(targetScalings)],
  ['--loss <name>', 'shadow: learn scores, or labels by bce (default: mse)', oneOf(losses)],
  parsedBy(
    '--top <list>',
    `labels: shares of units that are best, separated by commas (default: 0.5 for dejavu, ${DEFAULT_SHARES.join(',')} for --loss bce)`,
    sharesFlag,
  ),
  ['--epochs <count>', 'times through the examples, at most', whole(1), 40],
  ['--rate <number>', 'highest learning rate of AdamW', number(0), 1e-3],
  ['--batch <count>', 'examples per step', whole(1), 32],
  ['--decay <number>', 'weight decay', number(0), 0.01],
  [
    '--spread <name>',
    'scale squared errors by one spread, or by that of each unit',
    oneOf(['all', 'unit']),
    'all',
  ],
  ['--patience <epochs>', 'stop after this many epochs without improvement', whole(1), 8],
] as const

type TrainFlags = FlagsOf<typeof ownFlags> &
  FlagsOf<typeof predictorFlags> &
  SharedFlags<'seed' | 'backend' | 'json'>

/** What a run of the command found. */
export interface TrainReport {
  readonly output: string
  readonly card: PredictorConfig
  /** Numbers in the file. */
  readonly parameters: number
  readonly calibration: { readonly path: string; readonly identity: string; readonly name: string }
  readonly examples: { readonly trained: number; readonly heldOut: number }
  /** Loss on the part that chose the epoch, 1 being the best constant's; null where there was no such part. */
  readonly loss: Readonly<Record<'heads' | 'neurons', number | null>>
  readonly verdict: Verdict | null
  readonly seconds: number
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, ownFlags)
  addOwnFlags(command, predictorFlags, 'The predictor and its training:')
  addFlags(command, 'seed', 'backend', 'json', 'quiet')
    .addHelpText('after', help)
    .action((flags: TrainFlags) => runTrain(session, flags))
}

function sharesFlag(text: string): number[] {
  return text.split(',').map((item) => readOption('--top', item.trim(), number(0, 1)))
}

async function runTrain(session: Session, flags: TrainFlags): Promise<void> {
  await checkOutput(flags.output)
  const started = now()
  const calibration = await openCalibration(flags.calibration)
  const config = configOf(calibration, flags)
  const examples = await readExamples(session, calibration, config)
  const { trained, heldOut } = splitExamples(examples, flags.heldOut, flags.seed)
  const backend = await createBackend(flags.backend)
  try {
    const { predictor, ...result } = await train(
      session,
      backend,
      { ...config, examples: trained.length },
      trained,
      flags,
    )
    const verdict = heldOut.length > 0 ? judge(session, backend, predictor, trained, heldOut, flags) : null
    // The last moment at which ctrl-C leaves no file.
    await pause(session.signal)
    const { model, data } = calibration.manifest
    const { epochs, rate, batch, decay, patience, spread } = flags
    const source = {
      model: model.hash,
      data: data.name,
      windows: data.windows,
      training: JSON.stringify({ epochs, rate, batch, decay, patience, spread }),
    }
    await whileWriting(flags.output, () =>
      savePredictor(flags.output, predictor, { matrices: flags.matrices, source }),
    )
    const finite = (loss: number): number | null => (Number.isFinite(loss) ? loss : null)
    const report: TrainReport = {
      output: flags.output,
      card: predictor.config,
      parameters: countParameters(predictor),
      calibration: {
        path: flags.calibration,
        identity: calibration.identity,
        name: calibration.manifest.data.name,
      },
      examples: { trained: trained.length, heldOut: heldOut.length },
      loss: { heads: finite(result.heldOut.heads), neurons: finite(result.heldOut.neurons) },
      verdict,
      seconds: (now() - started) / 1000,
    }
    await printResult(session, flags, report, formatReport)
  } finally {
    backend.dispose()
  }
}

/** The config asked for; the number of examples is not known yet. @throws UsageError CRITERION_NAME, CHOICE */
function configOf({ manifest, identity, path }: Calibration, flags: TrainFlags): PredictorConfig {
  const names = manifest.criteria.map(({ name }) => name)
  if (!names.includes(flags.criterion))
    throw new UsageError(
      'CRITERION_NAME',
      `--criterion: expected one that ${path} has for each example (${names.join(', ')}), got ${flags.criterion}`,
    )
  const { layers, heads, neurons, hash: _hash, ...widths } = manifest.model
  const subject = {
    shape: { layers, heads, neurons },
    ...widths,
    criterion: flags.criterion,
    seed: flags.seed,
    examples: 0,
    dataHash: identity,
  }
  const { sourceLayer, pooling, features, targets, loss, top } = flags
  if (pooling === 'attention' && !manifest.keepSequence)
    throw new UsageError(
      'CHOICE',
      `--pooling attention: expected a calibration with whole prompts, which "calibrate --keep-sequence" makes, got ${path}`,
    )
  const sizes = { headHidden: flags.headWidth, neuronHidden: flags.width }
  return makePredictorConfig(flags.kind, subject, {
    ...sizes,
    sourceLayer,
    pooling,
    features,
    targets,
    loss,
    top,
  })
}

/** What the training needs of each example, and no more: whole prompts are large. */
async function readExamples(
  session: Session,
  calibration: Calibration,
  config: PredictorConfig,
): Promise<CalibrationExample[]> {
  const whole = config.kind === 'shadow' && config.pooling === 'attention'
  const examples: CalibrationExample[] = []
  const total = calibration.manifest.data.windows
  for await (const { index, features, scores, loss } of calibration.examples()) {
    const own = new Map([...scores].filter(([name]) => name === config.criterion))
    examples.push({ index, loss, scores: own, features: whole ? features : { ...features, sequence: null } })
    session.progress.update({ stage: 'reading', done: examples.length, total })
    session.signal.throwIfAborted()
  }
  return examples
}

function train(
  session: Session,
  backend: Backend,
  config: PredictorConfig,
  examples: readonly CalibrationExample[],
  { epochs, rate, batch, decay, patience, spread }: TrainFlags,
): Promise<TrainedPredictor> {
  const onEpoch = ({ kind, layer, network, networks, epoch, heldOut }: TrainingProgress): void => {
    const name = layer === null ? kind : `${kind} of layer ${layer}`
    session.progress.update({
      stage: 'training',
      done: network * epochs + epoch,
      total: networks * epochs,
      note: `${name}: ${heldOut.toFixed(3)} of the constant's loss`,
    })
  }
  const { signal } = session
  const options = { epochs, rate, batch, decay, patience, spread, heldOut: 0.1, signal, onEpoch }
  return trainPredictor(backend, config, examples, options)
}

function judge(
  session: Session,
  backend: Backend,
  predictor: Predictor,
  trained: readonly CalibrationExample[],
  heldOut: readonly CalibrationExample[],
  flags: TrainFlags,
): Verdict {
  session.progress.update({ stage: 'judging', done: 0, total: heldOut.length })
  const scope = flags.scope ?? (flags.kind === 'shadow' ? 'global' : 'per-layer')
  return judgePredictor(predictor, trained, heldOut, {
    sparsities: flags.sparsity,
    scope,
    topK: backendTopK(backend),
  })
}

function countParameters(predictor: Predictor): number {
  let total = 0
  for (const { data } of predictorTensors(predictor).values()) total += data.length
  return total
}

const words: Record<Contestant, string> = {
  predictor: 'predictor',
  'mean-target': 'mean of targets',
  'mean-score': 'mean of scores',
}

function formatReport(
  { output, card, parameters, examples, verdict, seconds }: TrainReport,
  { columns }: Screen,
): string {
  const { kind, criterion } = card
  const about =
    `${output}: ${kind} on ${criterion}, ${formatCount(parameters)} numbers, ` +
    `${countOf(examples.trained, 'example')}, ${seconds.toFixed(1)} s\n`
  if (verdict === null) return `${about}nothing was held out to judge it on\n`
  return `${about}on ${formatCount(verdict.examples)} held out:\n\n${formatVerdict(verdict, columns)}`
}

/** Orders first, then masks; a constant that is the same as another is shown once. */
function formatVerdict({ qualities, sparsities, scope }: Verdict, columns: number): string {
  const same = JSON.stringify(qualities['mean-target']) === JSON.stringify(qualities['mean-score'])
  const shown = contestants.filter((name) => !(same && name === 'mean-score'))
  const digits = (value: number): string => value.toFixed(3)
  const orders = unitKinds.flatMap((kind) =>
    shown.map((name) => {
      const { spearman, spearmanWithin } = qualities[name][kind]
      return [kind, words[name], digits(spearman), digits(spearmanWithin)]
    }),
  )
  const masks = unitKinds.flatMap((kind) =>
    sparsities.flatMap((sparsity, i) =>
      shown.map((name) => {
        const { recall, precision, jaccard, scoreKept } = qualities[name][kind].at[i]
        return [kind, String(sparsity), words[name], ...[recall, precision, jaccard, scoreKept].map(digits)]
      }),
    ),
  )
  const orderHead = ['rank correlation', '', 'all layers', 'within layers']
  const maskHead = [`masks, ${scope}`, 'sparsity', '', 'recall', 'precision', 'Jaccard', 'score kept']
  const orderTable = formatColumns([orderHead, ...orders], [2, 3], { columns, keys: 2 })
  return `${orderTable}\n${formatColumns([maskHead, ...masks], [3, 4, 5, 6], { columns, keys: 3 })}`
}
