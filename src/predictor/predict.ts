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
 * @example
 * ```ts
 * import { makeBudget, selectMask, ShadowModel } from 'shadowllm'
 * import { calibrateToFolder, hashFiles, openCalibration, textSource } from 'shadowllm/eval'
 * import { openPredictor, predictScores, scoreKept, spearman } from 'shadowllm/predictor'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model, prefixIds } = opt
 * const text = 'The captain looked at the sea. The men were tired, and he told them to go below. '.repeat(4)
 * const encode = (words: string): number[] => opt.encode(words)
 * const windows = { name: 'sea', encode, count: 2, seed: 0, prompt: 16, continuation: 8, prefixIds }
 * const source = textSource([{ name: 'sea', genre: 'story', text }], windows)
 * const folder = 'build/example/judged'
 * const modelHash = await hashFiles(opt.files)
 * await calibrateToFolder({ model, modelHash, source, examples: 2, folder, criteria: ['plainact'] })
 *
 * // The predictor of the embedded model lies beside its weights.
 * const beside = opt.weightsFile.replace('model.safetensors', 'predictor.safetensors')
 * const predictor = await openPredictor(beside, model.backend)
 * for (const { features, scores } of await (await openCalibration(folder)).readAll()) {
 *   const truth = scores.get('plainact')
 *   if (truth === undefined) throw new Error('no scores')
 *   const predicted = predictScores(predictor, features)
 *   const chosen = selectMask(predicted, makeBudget(0.5))
 *   const best = selectMask(truth, makeBudget(0.5))
 *   console.log(spearman(predicted.neurons, truth.neurons))
 *   console.log(scoreKept(chosen.neurons, best.neurons, truth.neurons))
 * }
 * predictor.dispose()
 * await opt.dispose()
 * ```
 */
export function predictScores(predictor: Predictor, features: PromptFeatures): UnitScores {
  if (predictor.kind === 'shadow') {
    const input = promptInput(predictor.config, features)
    // The mean is stored as one row, whose mean is the row.
    return predictor.predict(input, input.length / featureWidth(predictor.config))
  }
  return predictor.predict(predictor.kind === 'dejavu' ? features.stream : features.last)
}
