/**
 * The predictions of a predictor of any kind for a calibration example, by which predictors are evaluated.
 */
import type { UnitScores } from '../masks/selection.ts'
import { UsageError } from '../tensor/errors.ts'
import type { ShadowConfig } from './predictor_config.ts'
import type { DejavuPredictor } from './dejavu.ts'
import type { PromptFeatures } from './example.ts'
import { scoresFromOutputs } from './features.ts'
import type { Predictor } from './predictor_file.ts'

/**
 * The input of ShadowLLM's predictor: the pooled row of the prompt, [D], or the whole prompt, [T, D].
 * @throws UsageError EXAMPLES if the example lacks it
 */
export function promptInput(
  { placement, pooling, width }: ShadowConfig,
  features: PromptFeatures,
): Float32Array {
  if (pooling !== 'attention') return features[pooling].slice(placement * width, (placement + 1) * width)
  if (placement > 0 || features.sequence === null)
    throw new UsageError(
      'EXAMPLES',
      `attention pooling: expected examples that keep the whole prompt's context in layer 0, and placement 0, got ${
        placement > 0 ? `placement ${placement}` : 'examples without it'
      }`,
    )
  return features.sequence
}

/** Predicted scores of every unit. @throws UsageError as `promptInput`, FEATURE_SHAPE */
export function predictScores(predictor: Predictor, features: PromptFeatures): UnitScores {
  if (predictor.kind === 'shadow') {
    const input = promptInput(predictor.config, features)
    // The mean is stored as one row, whose mean is the row.
    return predictor.predict(input, input.length / predictor.config.width)
  }
  if (predictor.kind === 'dejavu-style') return predictor.predict(features.last)
  return predictAllLayers(predictor, features.stream)
}

/** Every layer's prediction, each from the stream that enters the layer before it. @param stream [L, D] */
function predictAllLayers(predictor: DejavuPredictor, stream: Float32Array): UnitScores {
  const { shape, width } = predictor.config
  const heads = new Float32Array((shape.layers - 1) * shape.heads)
  const neurons = new Float32Array((shape.layers - 1) * shape.neurons)
  for (let layer = 1; layer < shape.layers; layer++) {
    const row = stream.subarray((layer - 1) * width, layer * width)
    const scores = predictor.predictLayer(layer, row)
    heads.set(scores.heads, (layer - 1) * shape.heads)
    neurons.set(scores.neurons, (layer - 1) * shape.neurons)
  }
  return scoresFromOutputs(shape, heads, neurons)
}
