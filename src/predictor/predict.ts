/**
 * The predictions of a predictor of any kind for a calibration example, by which predictors are evaluated.
 */
import type { UnitScores } from '../masks/selection.ts'
import { UsageError } from '../tensor/errors.ts'
import { featureWidth, type ShadowConfig } from './predictor_config.ts'
import type { PromptFeatures } from './example.ts'
import type { Predictor } from './predictor_file.ts'

/**
 * The input of ShadowLLM's predictor: the pooled row of the prompt, [H K], or the whole prompt, [T, H K].
 * @throws UsageError EXAMPLES if the example lacks it
 */
export function promptInput(config: ShadowConfig, features: PromptFeatures): Float32Array {
  const { sourceLayer, pooling } = config
  const width = featureWidth(config)
  if (pooling !== 'attention') return features[pooling].slice(sourceLayer * width, (sourceLayer + 1) * width)
  if (sourceLayer > 0 || features.sequence === null)
    throw new UsageError(
      'EXAMPLES',
      `attention pooling: expected examples that keep the whole prompt's context in layer 0, and source layer 0, got ${
        sourceLayer > 0 ? `source layer ${sourceLayer}` : 'examples without it'
      }`,
    )
  return features.sequence
}

/**
 * The scores [L, H] and [L, F] that a predictor of any kind expects for a prompt, such as an example of a calibration; `spearman` and
 * `scoreKept` compare them with the true ones. Rows of dense layers are zeros.
 * @throws UsageError as `promptInput`, FEATURE_SHAPE
 * @specified `predict`
 */
export function predictScores(predictor: Predictor, features: PromptFeatures): UnitScores {
  if (predictor.kind === 'shadow') {
    const input = promptInput(predictor.config, features)
    // The mean is stored as one row, whose mean is the row.
    return predictor.predict(input, input.length / featureWidth(predictor.config))
  }
  return predictor.predict(predictor.kind === 'dejavu' ? features.stream : features.last)
}
