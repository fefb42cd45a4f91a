/**
 * DejaVu's predictors (Liu et al. 2023, arXiv 2310.17157, and its released code).
 *
 * Every layer has two low-rank matrices, one for heads and one for neurons, without biases or activation between the
 * factors. They look one layer ahead: the mask of layer l is decided from the residual stream that enters layer l-1, so
 * that the predictor can run in parallel with layer l-1. Layer 0 runs dense. They learn labels (whether a unit is among the
 * best of its layer) by weighted binary cross-entropy.
 *
 * One difference: the released code marks a neuron where its activation is positive. Here a criterion
 * marks heads and neurons, so that the methods differ in one respect only.
 */
import type { LayerScores, UnitScores } from '../masks/selection.ts'
import { UsageError } from '../tensor/errors.ts'
import type { DejavuConfig } from './predictor_config.ts'
import { LayerNetworks } from './layer_networks.ts'

/**
 * A trained predictor of the kind `dejavu` inside a backend: for each layer from 1 a network that reads the stream of a token. `openPredictor`
 * and `trainPredictor` give it, and `dejavuPlanner` takes it. Dispose it.
 * @specified `dejavu`
 */
export class DejavuPredictor extends LayerNetworks<DejavuConfig> {
  readonly kind = 'dejavu'

  /**
   * The log odds of each unit of a layer to be among the best: [H] and [F]. Probabilities would rank the units equally,
   * except those that round to 1.
   * @param layer from 1 to L-1
   * @param stream the residual stream of one token as it enters layer `layer - 1`: [D]
   * @throws UsageError FEATURE_SHAPE, LAYER
   */
  predictLayer(layer: number, stream: Float32Array): LayerScores {
    const { shape, width, features } = this.config
    if (!Number.isInteger(layer) || layer < 1 || layer >= shape.layers)
      throw new UsageError('LAYER', `layer: expected one from 1 to ${shape.layers - 1}, got ${layer}`)
    if (stream.length !== width)
      throw new UsageError('FEATURE_SHAPE', `stream: expected [${width}], got ${stream.length} numbers`)
    return this.run(layer, stream, features)
  }

  /**
   * The log odds of every unit; row 0 is zeros.
   * @param stream the residual stream of one token as it enters each layer: [L, D]
   * @throws UsageError FEATURE_SHAPE
   */
  predict(stream: Float32Array): UnitScores {
    const { width } = this.config
    return this.collect((layer) =>
      this.predictLayer(layer, stream.subarray((layer - 1) * width, layer * width)),
    )
  }
}
