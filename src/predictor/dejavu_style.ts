/**
 * The per-layer baseline as the authors of ShadowLLM built it (the released code of arXiv 2406.16635).
 *
 * Every layer has its own two-layer networks, trained by mean squared error on the scores of a criterion in that layer. Their
 * input is the output of the heads of the same layer at the last prompt token, from a dense pass over the prompt. There is
 * no look-ahead, so this cannot save the work of the heads it reads. Features are scaled to [0, 1].
 *
 * The paper's code omits that scaling when it selects over the whole model, so the networks get inputs of another range.
 * `as-shipped` does the same, for the published numbers; `fixed` scales as in training.
 */
import type { Backend } from '../backends/backend.ts'
import type { Storage } from '../engine/matrix.ts'
import type { UnitScores } from '../masks/selection.ts'
import { UsageError } from '../tensor/errors.ts'
import type { DejavuStyleConfig } from './predictor_config.ts'
import { scoresFromOutputs } from './features.ts'
import { LayerNetworks, type LayerValues } from './layer_networks.ts'

const inputScalings = ['fixed', 'as-shipped'] as const
export type InputScaling = (typeof inputScalings)[number]

/** A trained per-layer baseline inside a backend. Dispose it. */
export class DejavuStylePredictor {
  readonly kind = 'dejavu-style'
  readonly config: DejavuStyleConfig
  readonly backend: Backend
  readonly layers: LayerNetworks

  /** @throws UsageError MLP_SHAPE or MOMENTS if the values do not fit the config */
  constructor(backend: Backend, config: DejavuStyleConfig, values: LayerValues, storage: Storage = 'f32') {
    this.config = config
    this.backend = backend
    this.layers = new LayerNetworks(backend, config, values, storage)
  }

  /**
   * Predicted scores of every unit; row 0 is zeros.
   * @param last the heads' outputs of every layer at the last prompt token, in a dense pass: [L, D]
   * @throws UsageError FEATURE_SHAPE
   */
  predict(last: Float32Array, inputScaling: InputScaling = 'fixed'): UnitScores {
    const { shape, width, features } = this.config
    if (last.length !== shape.layers * width)
      throw new UsageError(
        'FEATURE_SHAPE',
        `last: expected [${shape.layers}, ${width}], got ${last.length} numbers`,
      )
    const scaling = inputScaling === 'fixed' ? features : 'none'
    const heads = new Float32Array((shape.layers - 1) * shape.heads)
    const neurons = new Float32Array((shape.layers - 1) * shape.neurons)
    for (let layer = 1; layer < shape.layers; layer++) {
      const row = last.subarray(layer * width, (layer + 1) * width)
      const scores = this.layers.run(layer, row, scaling)
      heads.set(scores.heads, (layer - 1) * shape.heads)
      neurons.set(scores.neurons, (layer - 1) * shape.neurons)
    }
    return scoresFromOutputs(shape, heads, neurons)
  }

  dispose(): void {
    this.layers.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
