/**
 * Predictors with networks for every layer: a pair for each layer from 1 on. Layer 0 runs dense in every method and has none.
 */
import type { Backend } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { LayerScores, UnitScores } from '../masks/selection.ts'
import type { Storage } from '../engine/storages/index.ts'
import { featureWidth, networkShape, type DejavuConfig, type DejavuStyleConfig } from './predictor_config.ts'
import { scaleFeatures, type FeatureMoments, type FeatureScaling } from './features.ts'
import { Network, type NetworkValues } from './network.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'

/** The numbers of a predictor: for each kind of unit the networks of layers 1 to L-1. */
export interface LayerValues extends Readonly<Record<UnitKind, readonly NetworkValues[]>> {
  /** The moments of the features of each layer, if features are scaled by those of the training set. */
  readonly moments?: readonly FeatureMoments[] | null
}

/** A predictor inside a backend. Dispose it. */
export abstract class LayerNetworks<Config extends DejavuStyleConfig | DejavuConfig> {
  readonly config: Config
  readonly backend: Backend
  /** Networks of layers 1 to L-1. */
  readonly networks: Readonly<Record<UnitKind, readonly Network[]>>
  readonly moments: readonly FeatureMoments[] | null
  readonly #scope: BufferScope

  /**
   * @param storage of its matrices in the backend
   * @throws UsageError MLP_SHAPE or MOMENTS if the values do not fit the config
   */
  constructor(backend: Backend, config: Config, values: LayerValues, storage: Storage = 'f32') {
    this.config = config
    this.backend = backend
    this.moments = values.moments ?? null
    const networks: Record<UnitKind, Network[]> = { heads: [], neurons: [] }
    this.networks = networks
    this.#scope = new BufferScope(backend)
    try {
      for (let layer = 1; layer < config.shape.layers; layer++) {
        this.#scale(layer, new Float32Array(featureWidth(config)), config.features)
        for (const kind of unitKinds)
          networks[kind].push(
            new Network(this.#scope, networkShape(config, kind), values[kind][layer - 1], storage),
          )
      }
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  /** The outputs of the networks of a layer, from 1, for a row [D]. */
  protected run(layer: number, row: Float32Array, scaling: FeatureScaling): LayerScores {
    const input = this.#scale(layer, row, scaling)
    return {
      heads: this.networks.heads[layer - 1].predict(input),
      neurons: this.networks.neurons[layer - 1].predict(input),
    }
  }

  /** Scores of every unit, from those of layers 1 to L-1; row 0 is zeros. */
  protected collect(layerScores: (layer: number) => LayerScores): UnitScores {
    const { shape } = this.config
    const table = (kind: UnitKind): Float32Array => new Float32Array(shape.layers * shape[kind])
    const scores = { shape, heads: table('heads'), neurons: table('neurons') }
    for (let layer = 1; layer < shape.layers; layer++) {
      const own = layerScores(layer)
      for (const kind of unitKinds) scores[kind].set(own[kind], layer * shape[kind])
    }
    return scores
  }

  dispose(): void {
    this.#scope.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #scale(layer: number, row: Float32Array, scaling: FeatureScaling): Float32Array {
    return scaleFeatures(row, scaling, this.moments?.[layer - 1])
  }
}
