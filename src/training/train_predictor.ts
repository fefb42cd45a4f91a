/**
 * Training predictors of every kind from calibration examples: what each network is shown, and what it is asked for.
 *
 *   shadow         two networks for the whole model. Sees one layer's context, pooled. Learns scores, or by `bce` labels:
 *                  whether a unit is among the best of the model, averaged over several shares where several are given
 *   dejavu-style   two for every layer from 1. Sees that layer's own heads. Learns that layer's scores
 *   dejavu         two for every layer from 1. Sees the stream entering the layer before. Learns labels within the layer
 *
 * The order of a loss's examples, the split and the start all follow the config's seed.
 */
import type { Backend } from '../backends/backend.ts'
import type { UnitScores } from '../masks/selection.ts'
import {
  networkShape,
  unitKinds,
  type DejavuConfig,
  type DejavuStyleConfig,
  type PredictorConfig,
  type ShadowConfig,
  type UnitKind,
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

/** How far a training is, after each epoch of each of its networks. */
export interface TrainingProgress extends EpochReport {
  readonly kind: UnitKind
  /** The layer a network is for; null for one for the whole model. */
  readonly layer: number | null
  /** Which network, from 0, of how many. */
  readonly network: number
  readonly networks: number
}

/** Options of a training. */
export interface PredictorTraining extends TrainingOptions {
  readonly onEpoch?: (progress: TrainingProgress) => void
}

/** A predictor and how well it does. */
export interface TrainedPredictor<Kind extends Predictor = Predictor> {
  readonly predictor: Kind
  /**
   * Held-out loss of the kept epoch, relative to the best constant's, the mean over networks; NaN where nothing was held
   * out. The held-out part chose the epoch, so this is a little too good.
   */
  readonly heldOut: Readonly<Record<UnitKind, number>>
}

/**
 * Trains ShadowLLM's predictor.
 * @throws UsageError EXAMPLES for fewer than two examples, or none with what the config asks for; the signal's reason
 */
export async function trainShadow(
  backend: Backend,
  config: ShadowConfig,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor<ShadowPredictor>> {
  checkExamples(config, examples)
  const inputs = examples.map(({ features }) => promptInput(config, features))
  const { rows, moments } = scaleRows(inputs, config.width, config.features)
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
 * Trains the per-layer baseline of the released code.
 * @throws UsageError EXAMPLES for fewer than two examples; the signal's reason
 */
export async function trainDejavuStyle(
  backend: Backend,
  config: DejavuStyleConfig,
  examples: readonly CalibrationExample[],
  options: PredictorTraining,
): Promise<TrainedPredictor<DejavuStylePredictor>> {
  const seen = (example: CalibrationExample, layer: number): Float32Array =>
    rowOf(example.features.last, layer, config.width)
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
    rowOf(example.features.stream, layer - 1, config.width)
  const { values, heldOut } = await trainLayers(backend, config, examples, seen, dejavuLoss, options)
  return { predictor: new DejavuPredictor(backend, config, values), heldOut }
}

const mse: Loss = { name: 'mse' }

/** A label of 0 counts by the share of labels that are 1, as in DejaVu's code, which adds 0.005 for neurons. */
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

/** The networks of layers 1 to L-1, from what each sees. */
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
  const inputs = layers.map((layer) =>
    scaleRows(
      examples.map((example) => seen(example, layer)),
      config.width,
      config.features,
    ),
  )
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

/** Inputs scaled, and what they were scaled by where that is the set's own. @param inputs [D] or [T, D] each */
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
