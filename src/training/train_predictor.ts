/**
 * Trains predictors of every kind from calibration examples.
 *
 *   shadow         two networks for the whole model. Input: the pooled context of one layer. Targets: scores, or for `bce`
 *                  labels (whether a unit is among the best of the model, averaged over the given shares)
 *   dejavu-style   two networks for every layer from 1. Input: the heads of that layer. Targets: scores of that layer
 *   dejavu         two networks for every layer from 1. Input: the stream entering the previous layer. Targets: labels within
 *                  the layer
 *
 * The order of examples, the split and the initial values depend on the seed of the config.
 */
import type { Backend } from '../backends/backend.ts'
import type { UnitScores } from '../masks/selection.ts'
import {
  networkCount,
  networkShape,
  type DejavuConfig,
  type DejavuStyleConfig,
  type PredictorConfig,
  type ShadowConfig,
  featureWidth,
} from '../predictor/predictor_config.ts'
import type { CalibrationExample } from '../predictor/example.ts'
import {
  featureMoments,
  scaleFeatures,
  type FeatureMoments,
  type FeatureScaling,
} from '../predictor/features.ts'
import { makePredictor, type Predictor } from '../predictor/predictor_file.ts'
import { promptInput } from '../predictor/predict.ts'
import { targetsOf } from '../predictor/targets.ts'
import { UsageError } from '../tensor/errors.ts'
import { recordOf } from '../tensor/records.ts'
import type { Loss, TrainingSet } from './network_trainer.ts'
import {
  trainNetwork,
  type EpochReport,
  type TrainedNetwork,
  type TrainingOptions,
} from './predictor_training.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'

/** The progress of a training, after each epoch of each network. */
export interface TrainingProgress extends EpochReport {
  readonly kind: UnitKind
  /** The layer a network is for; null for one for the whole model. */
  readonly layer: number | null
  /** The index of the network, and how many there are. */
  readonly network: number
  readonly networks: number
}

/** Options of a training. */
export interface PredictorTraining extends TrainingOptions {
  readonly onEpoch?: (progress: TrainingProgress) => void
}

/** A trained predictor and its loss. */
export interface TrainedPredictor<Kind extends Predictor = Predictor> {
  readonly predictor: Kind
  /**
   * Held-out loss of the kept epoch, relative to that of the best constant, as a mean over networks; NaN without held-out
   * examples. The held-out part chose the epoch, so this is slightly optimistic.
   */
  readonly heldOut: Readonly<Record<UnitKind, number>>
}

/** The predictor of a config. */
export type PredictorOf<Config extends PredictorConfig> = Extract<
  Predictor,
  { readonly kind: Config['kind'] }
>

/**
 * Trains a predictor of any kind, by its config.
 * @param config what `makePredictorConfig` gave
 * @param examples features and scores of prompts, as a calibration has them
 * @param options epochs, batch, learning rate, what is held out, and who is told of progress
 * @throws UsageError EXAMPLES for fewer than two examples, or examples without the scores or features of the config; the signal's reason
 * @specified `train`
 * @example
 * ```ts
 * import { collectText, ShadowModel } from 'shadowllm'
 * import { calibrateToFolder, hashFiles, openCalibration, textSource } from 'shadowllm/eval'
 * import { makePredictorConfig, savePredictor } from 'shadowllm/predictor'
 * import { judgePredictor, splitExamples, trainPredictor } from 'shadowllm/train'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model, prefixIds } = opt
 *
 * // Scores of units on 8 windows of a text. A real calibration has hundreds.
 * const text = 'The captain looked at the sea. The men were tired, and he told them to go below. '.repeat(8)
 * const encode = (words: string): number[] => opt.encode(words)
 * const windows = { name: 'sea', encode, count: 8, seed: 0, prompt: 16, continuation: 8, prefixIds }
 * const source = textSource([{ name: 'sea', genre: 'story', text }], windows)
 * const folder = 'build/example/calibration'
 * const modelHash = await hashFiles(opt.files)
 * await calibrateToFolder({ model, modelHash, source, examples: 8, folder, criteria: ['plainact'] })
 *
 * // Two networks that predict the scores from the prompt.
 * const calibration = await openCalibration(folder)
 * const { trained, heldOut } = splitExamples(await calibration.readAll(), 0.25, 0)
 * const { hash: _, layers, heads, neurons, ...widths } = calibration.manifest.model
 * const subject = { shape: { layers, heads, neurons }, ...widths, seed: 0, examples: trained.length }
 * const dataHash = calibration.identity
 * const config = makePredictorConfig('shadow', { ...subject, criterion: 'plainact', dataHash })
 * const how = { epochs: 3, batch: 4, rate: 0.001, decay: 0.01, heldOut: 0.1, patience: 3 }
 * const { predictor } = await trainPredictor(model.backend, config, trained, how)
 * const verdict = judgePredictor(predictor, trained, heldOut, { sparsities: [0.5], scope: 'global' })
 * console.log(verdict.qualities.predictor.neurons.spearman)
 * await savePredictor('build/example/predictor.safetensors', predictor)
 * predictor.dispose()
 *
 * await opt.loadPredictor('build/example/predictor.safetensors')
 * const written = await collectText(opt.generate('The captain looked at', { sparsity: 0.5, maxTokens: 8 }))
 * console.log(written.text)
 * await opt.dispose()
 * ```
 */
export async function trainPredictor<Config extends PredictorConfig>(
  backend: Backend,
  config: Config,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor<PredictorOf<Config>>> {
  checkExamples(config, examples)
  const layers = Array.from({ length: networkCount(config) }, (_, i) =>
    config.kind === 'shadow' ? null : i + 1,
  )
  const inputs = layers.map((layer) => {
    const read = examples.map((example) => seenBy(config, example, layer))
    return scaleRows(read, featureWidth(config), config.features)
  })
  const jobs = unitKinds.flatMap((kind) => {
    const targets = examples.map((example) => targetsOf(config, scoresOf(config, example), kind))
    const units = config.shape[kind]
    return layers.map((layer, i): Job => {
      const own = layer === null ? targets : targets.map((all) => rowOf(all, layer - 1, units))
      return { kind, layer, set: { rows: inputs[i].rows, targets: own }, loss: lossOf(config, kind, own) }
    })
  })
  const trained = await trainNetworks(backend, config, jobs, options)
  const of = (kind: UnitKind): TrainedNetwork[] => trained.filter((_, i) => jobs[i].kind === kind)
  const moments = inputs.map((input) => input.moments).filter((one) => one !== null)
  const values = {
    ...recordOf(unitKinds, (kind) => of(kind).map((network) => network.values)),
    moments: config.features === 'dataset' ? moments : null,
  }
  const mean = (kind: UnitKind): number =>
    of(kind).reduce((total, { heldOut }) => total + heldOut / layers.length, 0)
  const predictor = makePredictor(backend, config, values) as PredictorOf<Config>
  return { predictor, heldOut: recordOf(unitKinds, mean) }
}

/** Trains ShadowLLM's predictor, as `trainPredictor` shows. */
export const trainShadow: typeof trainPredictor<ShadowConfig> = trainPredictor

/** Trains the per-layer baseline of the paper's code. */
export const trainDejavuStyle: typeof trainPredictor<DejavuStyleConfig> = trainPredictor

/** Trains DejaVu's predictors. */
export const trainDejavu: typeof trainPredictor<DejavuConfig> = trainPredictor

/** What the network of a layer reads of an example; null: that of the whole model. */
function seenBy(
  config: PredictorConfig,
  { features }: CalibrationExample,
  layer: number | null,
): Float32Array {
  if (config.kind === 'shadow') return promptInput(config, features)
  const [l, width] = [layer as number, featureWidth(config)]
  return config.kind === 'dejavu' ? rowOf(features.stream, l - 1, width) : rowOf(features.last, l, width)
}

function lossOf(config: PredictorConfig, kind: UnitKind, targets: readonly Float32Array[]): Loss {
  if (config.kind === 'dejavu') return dejavuLoss(kind, targets)
  if (config.kind === 'shadow' && config.loss === 'bce') return { name: 'bce', negativeWeight: 1 }
  return { name: 'mse' }
}

/** The weight of a label of 0 is the share of labels that are 1, as in DejaVu's code, which adds 0.005 for neurons. */
function dejavuLoss(kind: UnitKind, targets: readonly Float32Array[]): Loss {
  let total = 0
  let count = 0
  for (const row of targets) {
    for (const label of row) total += label
    count += row.length
  }
  const share = count === 0 ? 1 : total / count
  return { name: 'bce', negativeWeight: kind === 'heads' ? share : share + 0.005 }
}

/** One network to be trained. */
interface Job {
  readonly kind: UnitKind
  readonly layer: number | null
  readonly set: TrainingSet
  readonly loss: Loss
}

async function trainNetworks(
  backend: Backend,
  config: PredictorConfig,
  jobs: readonly Job[],
  options: PredictorTraining,
): Promise<TrainedNetwork[]> {
  const trained: TrainedNetwork[] = []
  for (const { kind, layer, set, loss } of jobs) {
    const place = { kind, layer, network: trained.length, networks: jobs.length }
    const onEpoch = (report: EpochReport): void => options.onEpoch?.({ ...report, ...place })
    const network = { ...options, loss, onEpoch }
    trained.push(await trainNetwork(backend, networkShape(config, kind), set, config.seed, network))
  }
  return trained
}

/** Scaled inputs, and the moments of the data set if they were scaled by them. @param inputs [D] or [T, D] each */
function scaleRows(
  inputs: readonly Float32Array[],
  width: number,
  scaling: FeatureScaling,
): { rows: Float32Array[]; moments: FeatureMoments | null } {
  const moments = scaling === 'dataset' ? featureMoments(inputs, width) : null
  const rows = inputs.map((input) => scaleFeatures(input, scaling, moments, input.length / width))
  return { rows, moments }
}

function rowOf(table: Float32Array, row: number, width: number): Float32Array {
  return table.subarray(row * width, (row + 1) * width)
}

/** @throws UsageError EXAMPLES if an example has no scores of the config's criterion */
export function scoresOf(config: PredictorConfig, { scores, index }: CalibrationExample): UnitScores {
  const found = scores.get(config.criterion)
  if (found) return found
  const names = [...scores.keys()].join(', ')
  throw new UsageError('EXAMPLES', `example ${index}: expected scores of ${config.criterion}, got ${names}`)
}

function checkExamples(config: PredictorConfig, examples: readonly CalibrationExample[]): void {
  if (examples.length < 2)
    throw new UsageError('EXAMPLES', `examples: expected at least 2, got ${examples.length}`)
  for (const example of examples) scoresOf(config, example)
}
