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
import type { UnitScores } from '../masks/selection.ts'
import type { InputScaling } from '../planners/predictors.ts'
import { UsageError } from '../tensor/errors.ts'
import { type DejavuStyleConfig, featureWidth } from './predictor_config.ts'
import { LayerNetworks } from './layer_networks.ts'

/**
 * A trained predictor of the kind `dejavu-style` inside a backend: for each layer from 1 a network that reads the head outputs of that
 * layer. `openPredictor` and `trainPredictor` give it, and `dejavuStylePlanner` takes it. Dispose it.
 */
export class DejavuStylePredictor extends LayerNetworks<DejavuStyleConfig> {
  readonly kind = 'dejavu-style'

  /**
   * Predicted scores of every unit; row 0 is zeros.
   * @param last the heads' outputs of every layer at the last prompt token, in a dense pass: [L, H K]
   * @throws UsageError FEATURE_SHAPE
   */
  predict(last: Float32Array, inputScaling: InputScaling = 'fixed'): UnitScores {
    const { shape, features } = this.config
    const width = featureWidth(this.config)
    if (last.length !== shape.layers * width)
      throw new UsageError(
        'FEATURE_SHAPE',
        `last: expected [${shape.layers}, ${width}], got ${last.length} numbers`,
      )
    const scaling = inputScaling === 'fixed' ? features : 'none'
    return this.collect((layer) =>
      this.run(layer, last.subarray(layer * width, (layer + 1) * width), scaling),
    )
  }
}
