/**
 * The predictors of a bench. Beside a checkpoint they come from files; beside random weights they are random too, in the
 * sizes they are published with:
 *
 *   shadow         2048 hidden units for heads, 1024 for neurons, one pair for the model (arXiv 2406.16635, released code)
 *   dejavu         rank 512 for heads, 1000 for neurons, a pair for every layer (arXiv 2310.17157, released code)
 *   dejavu-style   the same sizes, so that the two per-layer methods differ in when they are asked
 */
import type { Backend } from '../backends/backend.ts'
import {
  networkCount,
  networkShape,
  type PredictorConfig,
  type PredictorKind,
} from '../predictor/predictor_config.ts'
import { makePredictorConfig, type PredictorChoices } from '../predictor/make_predictor_config.ts'
import {
  layerParameterLengths,
  layerParameterNames,
  networkParameterShapes,
  type Network,
  type NetworkValues,
} from '../predictor/network.ts'
import { recordOf } from '../tensor/records.ts'
import { makePredictor, type Predictor } from '../predictor/predictor_file.ts'
import { type ModelConfig, featureWidths } from '../engine/config.ts'
import { storageNamed, type Storage } from '../engine/storages/index.ts'
import { RandomBlock } from './random_weights.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'

/** Hidden units of each kind. */
const publishedSizes: Readonly<Record<PredictorKind, PredictorChoices>> = {
  shadow: { headHidden: 2048, neuronHidden: 1024, features: 'min_max' },
  'dejavu-style': { headHidden: 512, neuronHidden: 1000, features: 'min_max' },
  dejavu: { headHidden: 512, neuronHidden: 1000, features: 'none' },
}

/**
 * A predictor of random numbers for models of this configuration. Dispose it.
 * @param storage what its matrices are stored as
 */
export function randomPredictor(
  kind: PredictorKind,
  model: ModelConfig,
  backend: Backend,
  storage: Storage,
  seed: number,
): Predictor {
  const { layers, heads, neurons } = model
  const shape = { layers, heads, neurons }
  const about = { shape, ...featureWidths(model), criterion: 'none', seed, examples: 0, dataHash: null }
  const config = makePredictorConfig(kind, about, publishedSizes[kind])
  const block = new RandomBlock(seed)
  // The same numbers in every layer, each layer with a copy of its own to read.
  const copies = (network: NetworkValues): NetworkValues[] =>
    Array.from({ length: networkCount(config) }, () => network)
  const values = recordOf(unitKinds, (unit) => copies(randomNetwork(config, unit, block)))
  return makePredictor(backend, config, values, storage)
}

function randomNetwork(config: PredictorConfig, unit: UnitKind, block: RandomBlock): NetworkValues {
  const lengths = layerParameterLengths(networkShape(config, unit))
  return recordOf(layerParameterNames, (name, i) => block.take(i, lengths[name]))
}

/**
 * Bytes of a predictor's numbers, all of which are read when it is asked.
 * @param storage what its matrices are stored as; its biases are float32
 */
export function predictorBytes(predictor: Predictor, storage: Storage): number {
  const networks: readonly Network[] = unitKinds.flatMap((unit) => predictor.networks[unit])
  return networks
    .flatMap(({ shape }) => [...networkParameterShapes(shape).values()])
    .reduce((bytes, [rows, columns]) => {
      return (
        bytes + storageNamed(columns === undefined ? 'f32' : storage).bytes(rows, columns ?? 1, 'outputs')
      )
    }, 0)
}
