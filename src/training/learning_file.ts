/**
 * The file of what was learnt so far (learn_predictor.ts), from which learning goes on, and from which a predictor is made:
 *
 *   scores.heads [L, H]   scores.neurons [L, F]   squares [G], of each group of units that compete
 *   features [N, L, C]    usage [N, L, F]         of the N windows so far
 *
 * The metadata entry `shadowllm.learning` names the settings. A run with others is refused.
 */
import { contextWidth } from '../engine/config.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { openSafetensors } from '../io/safetensors.ts'
import { writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { readFinite } from '../io/read_finite.ts'
import { UsageError } from '../tensor/errors.ts'
import { concatenate } from '../tensor/concatenate.ts'
import type { LearningState, Observation } from './learn_predictor.ts'
import { closing } from '../tensor/tensor_source.ts'

const settingsEntry = 'shadowllm.learning'

/** Everything that the numbers depend on, by name. */
export type LearningSettings = Readonly<Record<string, string | number>>

/** Writes a state atomically. @throws the system's error if the file cannot be written */
export async function saveLearning(
  path: string,
  { config }: Pick<LanguageModel, 'config'>,
  { scores, squares, observations }: LearningState,
  settings: LearningSettings,
): Promise<void> {
  const { layers: L, heads: H, neurons: F } = scores.shape
  const N = observations.length
  const all = (name: keyof Observation): Float32Array => {
    const parts = observations.map((one) => one[name])
    return concatenate(Float32Array, parts)
  }
  const tensor = (shape: readonly number[], data: Float32Array): TensorToWrite => {
    return { dtype: 'F32', shape, data }
  }
  const tensors = new Map([
    ['scores.heads', tensor([L, H], scores.heads)],
    ['scores.neurons', tensor([L, F], scores.neurons)],
    ['squares', tensor([squares.length], squares)],
    ['features', tensor([N, L, contextWidth(config)], all('features'))],
    ['usage', tensor([N, L, F], all('usage'))],
  ])
  await writeSafetensors(path, tensors, { [settingsEntry]: JSON.stringify(settings) })
}

/**
 * Reads a state.
 * @throws UsageError RESUME if it is of other settings; InputError SAFETENSORS_*, TENSOR_MISSING, TENSOR_SHAPE,
 *   WEIGHT_NOT_FINITE
 */
export async function readLearning(
  path: string,
  { config, shape }: Pick<LanguageModel, 'config' | 'shape'>,
  settings: LearningSettings,
): Promise<LearningState> {
  return closing(openSafetensors(path), async (source) => {
    expectSettings(path, source.metadata.get(settingsEntry), settings)
    const { layers: L, heads: H, neurons: F } = shape
    const C = contextWidth(config)
    const read = (name: string, form: readonly number[]): Promise<Float32Array> =>
      readFinite(source, name, form, 'WEIGHT_NOT_FINITE')
    const N = source.tensors.get('features')?.shape[0] ?? 0
    const G = source.tensors.get('squares')?.shape[0] ?? 0
    const features = await read('features', [N, L, C])
    const usage = await read('usage', [N, L, F])
    return {
      scores: {
        shape,
        heads: await read('scores.heads', [L, H]),
        neurons: await read('scores.neurons', [L, F]),
      },
      squares: await read('squares', [G]),
      step: N,
      observations: Array.from({ length: N }, (_, n) => ({
        features: features.slice(n * L * C, (n + 1) * L * C),
        usage: usage.slice(n * L * F, (n + 1) * L * F),
      })),
    }
  })
}

function expectSettings(path: string, found: string | undefined, settings: LearningSettings): void {
  const asked = JSON.stringify(settings)
  if (found === asked) return
  throw new UsageError(
    'RESUME',
    `${path}: expected what was learnt with these settings, ${asked}, got ${found ?? 'none'}; another --output begins anew`,
  )
}
