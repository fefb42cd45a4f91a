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
  networkShape,
  type DejavuConfig,
  type DejavuStyleConfig,
  type PredictorConfig,
  type ShadowConfig,
  featureWidth,
} from '../predictor/predictor_config.ts'
import { DejavuPredictor } from '../predictor/dejavu.ts'
import { DejavuStylePredictor } from '../predictor/dejavu_style.ts'
import type { CalibrationExample } from '../predictor/example.ts'
import {
  featureMoments,
  scaleFeatures,
  type FeatureMoments,
  type FeatureScaling,
} from '../predictor/features.ts'
import type { LayerValues } from '../predictor/layer_networks.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { promptInput } from '../predictor/predict.ts'
import { ShadowPredictor } from '../predictor/shadow.ts'
import { targetsOf } from '../predictor/targets.ts'
import { UsageError } from '../tensor/errors.ts'
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

/**
 * Trains ShadowLLM's predictor.
 * @throws UsageError EXAMPLES for fewer than two examples, or examples without the scores or features of the config; the signal's reason
 */
export async function trainShadow(
  backend: Backend,
  config: ShadowConfig,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor<ShadowPredictor>> {
  checkExamples(config, examples)
  const inputs = examples.map(({ features }) => promptInput(config, features))
  const { rows, moments } = scaleRows(inputs, featureWidth(config), config.features)
  const networks = unitKinds.map((kind) => ({
    kind,
    layer: null,
    set: { rows, targets: examples.map((example) => targetsOf(config, scoresOf(config, example), kind)) },
    loss: config.loss === 'mse' ? mse : ({ name: 'bce', negativeWeight: 1 } as const),
  }))
  const trained = await trainNetworks(backend, config, networks, options)
  const [heads, neurons] = trained
  return {
    predictor: new ShadowPredictor(backend, config, {
      heads: heads.values,
      neurons: neurons.values,
      moments,
    }),
    heldOut: { heads: heads.heldOut, neurons: neurons.heldOut },
  }
}

/**
 * Trains the per-layer baseline of the paper's code.
 * @throws UsageError EXAMPLES for fewer than two examples; the signal's reason
 */
export async function trainDejavuStyle(
  backend: Backend,
  config: DejavuStyleConfig,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor<DejavuStylePredictor>> {
  const seen = (example: CalibrationExample, layer: number): Float32Array =>
    rowOf(example.features.last, layer, featureWidth(config))
  const { values, heldOut } = await trainLayers(backend, config, examples, seen, () => mse, options)
  return { predictor: new DejavuStylePredictor(backend, config, values), heldOut }
}

/**
 * Trains DejaVu's predictors.
 * @throws UsageError EXAMPLES for fewer than two examples; the signal's reason
 */
export async function trainDejavu(
  backend: Backend,
  config: DejavuConfig,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor<DejavuPredictor>> {
  const seen = (example: CalibrationExample, layer: number): Float32Array =>
    rowOf(example.features.stream, layer - 1, featureWidth(config))
  const { values, heldOut } = await trainLayers(backend, config, examples, seen, dejavuLoss, options)
  return { predictor: new DejavuPredictor(backend, config, values), heldOut }
}

const mse: Loss = { name: 'mse' }

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

/** Any kind of predictor, by its config. @throws as the trainings of each kind */
export function trainPredictor(
  backend: Backend,
  config: PredictorConfig,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor> {
  if (config.kind === 'shadow') return trainShadow(backend, config, examples, options)
  if (config.kind === 'dejavu') return trainDejavu(backend, config, examples, options)
  return trainDejavuStyle(backend, config, examples, options)
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

/** Trains the networks of layers 1 to L-1. */
async function trainLayers(
  backend: Backend,
  config: DejavuStyleConfig | DejavuConfig,
  examples: readonly CalibrationExample[],
  seen: (example: CalibrationExample, layer: number) => Float32Array,
  lossOf: (kind: UnitKind, targets: readonly Float32Array[]) => Loss,
  options: PredictorTraining,
): Promise<{ values: LayerValues; heldOut: Record<UnitKind, number> }> {
  checkExamples(config, examples)
  const layers = Array.from({ length: config.shape.layers - 1 }, (_, i) => i + 1)
  const inputs = layers.map((layer) => {
    const read = examples.map((example) => seen(example, layer))
    return scaleRows(read, featureWidth(config), config.features)
  })
  const jobs = unitKinds.flatMap((kind) => {
    const targets = examples.map((example) => targetsOf(config, scoresOf(config, example), kind))
    const units = config.shape[kind]
    return layers.map((layer, i) => {
      const own = targets.map((all) => rowOf(all, layer - 1, units))
      return { kind, layer, set: { rows: inputs[i].rows, targets: own }, loss: lossOf(kind, own) }
    })
  })
  const trained = await trainNetworks(backend, config, jobs, options)
  const of = (kind: UnitKind): TrainedNetwork[] => trained.filter((_, i) => jobs[i].kind === kind)
  const mean = (kind: UnitKind): number =>
    of(kind).reduce((total, { heldOut }) => total + heldOut / layers.length, 0)
  const moments = inputs.map((input) => input.moments).filter((one) => one !== null)
  return {
    values: {
      heads: of('heads').map(({ values }) => values),
      neurons: of('neurons').map(({ values }) => values),
      moments: config.features === 'dataset' ? moments : null,
    },
    heldOut: { heads: mean('heads'), neurons: mean('neurons') },
  }
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
