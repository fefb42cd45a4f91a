/**
 * Per-layer networks: a pair for each layer from 1 on. Layer 0 runs dense in every method and has none.
 */
import type { Backend } from '../backends/backend.ts'
import type { Storage } from '../engine/matrix.ts'
import {
  networkShape,
  unitKinds,
  type DejavuConfig,
  type DejavuStyleConfig,
  type UnitKind,
} from './predictor_config.ts'
import { scaleFeatures, type FeatureMoments, type FeatureScaling } from './features.ts'
import { Network, type NetworkValues } from './network.ts'

/** The numbers of per-layer predictors: for each kind the networks of layers 1 to L-1. */
export interface LayerValues extends Readonly<Record<UnitKind, readonly NetworkValues[]>> {
  /** The moments of the features of each layer, if features are scaled by those of the training set. */
  readonly moments?: readonly FeatureMoments[] | null
}

/** The networks of a config, inside a backend. Dispose it. */
export class LayerNetworks {
  readonly config: DejavuStyleConfig | DejavuConfig
  /** Networks of layers 1 to L-1. */
  readonly networks: Readonly<Record<UnitKind, readonly Network[]>>
  readonly moments: readonly FeatureMoments[] | null

  /** @throws UsageError MLP_SHAPE or MOMENTS if the values do not fit the config */
  constructor(
    backend: Backend,
    config: DejavuStyleConfig | DejavuConfig,
    values: LayerValues,
    storage: Storage = 'f32',
  ) {
    this.config = config
    this.moments = values.moments ?? null
    const networks: Record<UnitKind, Network[]> = { heads: [], neurons: [] }
    this.networks = networks
    try {
      for (let layer = 1; layer < config.shape.layers; layer++) {
        this.#scale(layer, new Float32Array(config.width), config.features)
        for (const kind of unitKinds)
          networks[kind].push(
            new Network(backend, networkShape(config, kind), values[kind][layer - 1], storage),
          )
      }
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  /** The outputs of the networks of a layer, from 1, for a row [D]: [H] and [F]. */
  run(layer: number, row: Float32Array, scaling: FeatureScaling): Record<UnitKind, Float32Array> {
    const input = this.#scale(layer, row, scaling)
    return {
      heads: this.networks.heads[layer - 1].predict(input),
      neurons: this.networks.neurons[layer - 1].predict(input),
    }
  }

  dispose(): void {
    for (const kind of unitKinds) for (const network of this.networks[kind]) network.dispose()
  }

  #scale(layer: number, row: Float32Array, scaling: FeatureScaling): Float32Array {
    return scaleFeatures(row, scaling, this.moments?.[layer - 1])
  }
}
