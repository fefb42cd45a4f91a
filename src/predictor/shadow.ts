/**
 * The predictor of ShadowLLM: one pair of small networks for the whole model (arXiv 2406.16635).
 *
 * From the context of the prompt in the source layer (`sourceLayer`, default 0) one network predicts a score for every head of
 * the later layers, the other for every neuron. Layers up to `sourceLayer` have run by then and are not predicted. It predicts
 * once per sequence, from the prompt only. Training is in src/training; the file form in
 * `predictor_file.ts`.
 */
import type { Backend } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { Storage } from '../engine/storages/index.ts'
import { UsageError } from '../tensor/errors.ts'
import { recordOf } from '../tensor/records.ts'
import { firstRankedBy, networkShape, type ShadowConfig, featureWidth } from './predictor_config.ts'
import {
  lastTokenContext,
  meanContext,
  scaleFeatures,
  scoresFromOutputs,
  type FeatureMoments,
} from './features.ts'
import { Network, type NetworkValues } from './network.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'

/** The numbers of a predictor. */
export interface ShadowValues extends Readonly<Record<UnitKind, NetworkValues>> {
  /** The moments of the training set, if features are scaled by them. */
  readonly moments?: FeatureMoments | null
}

/**
 * A trained predictor of the kind `shadow`, that of the paper, inside a backend: two networks that read the head outputs of one early
 * layer and score the units of all later ones. `openPredictor` and `trainPredictor` give it, and `shadowPlanner` takes it. Dispose it.
 * @specified `predict`
 */
export class ShadowPredictor {
  readonly kind = 'shadow'
  readonly config: ShadowConfig
  readonly backend: Backend
  readonly moments: FeatureMoments | null
  readonly networks: Readonly<Record<UnitKind, Network>>
  readonly #scope: BufferScope

  /**
   * @param storage of its matrices in the backend
   * @throws UsageError MLP_SHAPE or MOMENTS if the values do not fit the config
   */
  constructor(backend: Backend, config: ShadowConfig, values: ShadowValues, storage: Storage = 'f32') {
    this.config = config
    this.backend = backend
    this.moments = values.moments ?? null
    this.#scope = new BufferScope(backend)
    try {
      scaleFeatures(new Float32Array(featureWidth(config)), config.features, this.moments)
      this.networks = recordOf(
        unitKinds,
        (kind) => new Network(this.#scope, networkShape(config, kind), values[kind], storage),
      )
    } catch (error) {
      this.dispose()
      throw error
    }
  }

  /**
   * Predicted scores of every unit; the rows of dense layers are zeros. For `bce` a score is the log odds that the unit
   * is kept.
   * @param context the context of the prompt in layer `sourceLayer`, before the output matrix: [T, H K]
   * @param tokens T, at least 1
   * @throws UsageError FEATURE_SHAPE
   */
  predict(context: Float32Array, tokens: number): UnitScores {
    const input = this.inputOf(context, tokens)
    const outputs = (kind: UnitKind): Float32Array => this.networks[kind].predict(input)
    return scoresFromOutputs(
      this.config.shape,
      outputs('heads'),
      outputs('neurons'),
      firstRankedBy(this.config),
    )
  }

  /**
   * What the networks read of a context: one row [H K], or with attention pooling all rows [T, H K], scaled.
   * @param context the heads' outputs of the source layer: [T, H K]
   * @param tokens T
   * @throws UsageError FEATURE_SHAPE
   */
  inputOf(context: Float32Array, tokens: number): Float32Array {
    const { features, pooling } = this.config
    const width = featureWidth(this.config)
    if (tokens < 1 || context.length !== tokens * width)
      throw new UsageError(
        'FEATURE_SHAPE',
        `context: expected [${tokens}, ${width}], got ${context.length} numbers`,
      )
    if (pooling === 'attention') return scaleFeatures(context, features, this.moments, tokens)
    const row = (pooling === 'last' ? lastTokenContext : meanContext)(context, tokens)
    return scaleFeatures(row, features, this.moments)
  }

  /** Frees its buffers. */
  dispose(): void {
    this.#scope.dispose()
  }

  /** As `dispose`. */
  [Symbol.dispose](): void {
    this.dispose()
  }
}
