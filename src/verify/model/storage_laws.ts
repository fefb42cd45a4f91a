/**
 * Laws of how weights are stored. That every storage gives the bits of the specification is a law of engine_laws.ts.
 *
 * What rounding does to a model is a matter of measuring (`shadowllm inspect --storage`). How near int8 stays to the float32
 * model of the rounded weights is a law.
 */
import type { ModelParameter } from '../../engine/plan.ts'
import { modelParameters } from '../../engine/program.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { storageNamed } from '../../engine/storages/index.ts'
import { storageOf } from '../../engine/weight_layout.ts'
import { transpose } from '../../ops/transpose.ts'
import { result, tensor } from '../../spec/plain.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { near, sameBits } from '../compare.ts'
import {
  withLoaded,
  configOf,
  feedOnce,
  forAll,
  roomyModel,
  tensorsOf,
  tokensOf,
  withModel,
  type ModelCase,
} from './cases.ts'
import { withoutKinks } from './finite_differences.ts'
import { anyData } from '../drawn_data.ts'
import { anyStorage, cuts, engineCase, feedInParts, made, modes } from './engine_cases.ts'

/** Weights rounded to int8, as float32. There is a scale for each row as it is held. */
function roundedTensors(model: ModelCase): Map<string, HostTensor> {
  const tensors = tensorsOf(model)
  for (const [name, parameter] of modelParameters(configOf(model))) {
    const { values } = tensors.get(name) as HostTensor
    const { shape } = parameter
    if (storageOf(parameter, 'int8').name === 'int8')
      tensors.set(name, { shape, values: rounded(parameter, values) })
  }
  return tensors
}

function rounded({ shape: [O, I], isTurned }: ModelParameter, values: Float32Array): Float32Array {
  const { data } = storageNamed('int8')
    .plain(tensor(values, O, I), isTurned)
    .widen()
  return isTurned ? result([O, I], (y) => transpose(y, data, I, O)).data : data
}

export const storageLaws = {
  int8IsNearRounded: forAll(
    'int8 is near float32 with the weights rounded to it: activations keep at least twelve bits',
    // Where a head reads few numbers, or a half is normed that gives next to nothing, nothing says how large what cancelled was.
    { model: roomyModel.map((model) => withoutKinks({ ...model, embeddingWidth: 0 })), data: anyData },
    async (subject, { model, data }) => {
      const tokens = tokensOf(model, data)
      const logitsOf = (loaded: LanguageModel): Float32Array => feedOnce(loaded, tokens, { cache: 'f32' })
      const expected = await withModel(subject, model, logitsOf, roundedTensors(model))
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const found = await withModel(subject, model, logitsOf, tensorsOf(model), { storage: 'int8' })
      near('int8', found, expected, 5e-3 * largest)
    },
  ),

  pastFollowsWeights: forAll(
    'the past is kept as int8 where weights round activations and as float32 elsewhere, unless one says so',
    { drawn: engineCase, storage: anyStorage, mode: modes, parts: cuts },
    async (subject, { drawn, storage, mode, parts }) => {
      const { config, tensors, tokens } = made(drawn)
      const cache = storageNamed(storage).roundsActivations ? 'int8' : 'f32'
      await withLoaded(subject, config, tensors, { storage }, (model) =>
        sameBits(
          'logits',
          feedInParts(model, tokens, parts, { mode }),
          feedInParts(model, tokens, parts, { mode, cache }),
        ),
      )
    },
  ),
}
