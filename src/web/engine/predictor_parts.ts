/**
 * What is inside the predictor of a model, for one prompt: the features that it reads, and the two matrices of each network.
 */
import { createBackend } from '../../backends/select.ts'
import { isThere } from '../../io/files.ts'
import { predictorBeside } from '../../io/named_predictor.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { denseMask, unitKinds, type UnitKind } from '../../masks/mask.ts'
import type { PlannerBy } from '../../masks/planner.ts'
import { openPredictor } from '../../predictor/predictor_file.ts'
import type { ShadowPredictor } from '../../predictor/shadow.ts'
import { recordOf } from '../../tensor/records.ts'

/** One network: hidden = relu(first features + firstBias), scores = second hidden + secondBias. */
interface NetworkParts {
  readonly first: Float32Array // [R, D]
  readonly firstBias: Float32Array // [R]
  readonly second: Float32Array // [O, R]
  readonly secondBias: Float32Array // [O]
}

/** See the head of this file. */
export interface PredictorParts extends Readonly<Record<UnitKind, NetworkParts>> {
  readonly features: Float32Array // [D]
}

/**
 * The parts of a ShadowLLM predictor beside a model that pools one row of features; null if there is none.
 * @param prompt [P]
 * @throws InputError as `openPredictor`
 */
export async function predictorParts(opt: ShadowModel, prompt: Int32Array): Promise<PredictorParts | null> {
  const path = predictorBeside(opt.weightsFile)
  if (!(await isThere(path))) return null
  const predictor = await openPredictor(path, await createBackend('reference'))
  try {
    if (predictor.kind !== 'shadow' || predictor.config.pooling === 'attention') return null
    const { networks } = predictor
    const parts = recordOf(unitKinds, (kind): NetworkParts => {
      const values = networks[kind].read()
      const { inputWeight: first, inputBias, outputWeight: second, outputBias } = values
      const { hidden, outputs } = networks[kind].shape
      return {
        first,
        firstBias: inputBias ?? new Float32Array(hidden),
        second,
        secondBias: outputBias ?? new Float32Array(outputs),
      }
    })
    return { features: await featuresOf(opt, prompt, predictor), ...parts }
  } finally {
    predictor.dispose()
  }
}

/** What a predictor reads of a prompt: [D]. */
async function featuresOf(
  opt: ShadowModel,
  prompt: Int32Array,
  predictor: ShadowPredictor,
): Promise<Float32Array> {
  let features: Float32Array = new Float32Array(0)
  const looks: PlannerBy<'attention'> = {
    name: 'look',
    by: 'attention',
    sourceLayer: predictor.config.sourceLayer,
    choose({ context, tokens }) {
      features = predictor.inputOf(context, tokens)
      return denseMask(opt.model.shape)
    },
  }
  await opt.mask(prompt, { planner: looks })
  return features
}
