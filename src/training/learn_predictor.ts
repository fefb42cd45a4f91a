/**
 * A predictor that corrects static scores: they are learnt through the mask, and it learns how a prompt deviates from them.
 *
 *   s(x)  = S + w y(v(x))
 *   S     scores learnt through the mask (learn_scores.ts), the same for every prompt
 *   x     what the heads of the source layer give out, mean over the prompt, each feature to mean 0 and variance 1 over the windows
 *   y     ridge regression (ridge.ts) of the deviation of each neuron's rank, within its layer and between 0 and 1, from its
 *         mean over the windows. Neurons are ranked by how much the continuation uses them (GRIFFIN's score, griffin.ts)
 *   w     0.9
 *
 * Most of what a mask is worth is the same for every prompt. Static scores by a criterion are poor at it, because they judge
 * each unit alone, at the dense model; a predictor that is to learn everything from a few hundred prompts learns little else.
 * So what is common is learnt through the mask, and the predictor is left with what differs. Heads have S alone: their use
 * of the continuation is not predicted.
 *
 * The file is that of any ShadowLLM predictor. Its networks are linear here: each direction v is two hidden units of opposite
 * sign, v = relu(v) - relu(-v), and S is the bias of the outputs. The prompt runs dense, so layers before the source are
 * ranked too. No paper has this predictor; it is of this project.
 */
import { contextWidth, featureWidths } from '../engine/config.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { firstRanked, type Budget } from '../masks/budget.ts'
import { ranks } from '../masks/ranks.ts'
import type { UnitScores } from '../masks/selection.ts'
import { featureMoments, meanContext, scaleFeatures, type FeatureMoments } from '../predictor/features.ts'
import { griffinScores } from '../planners/griffin.ts'
import type { NetworkValues } from '../predictor/network.ts'
import type { ShadowConfig } from '../predictor/predictor_config.ts'
import type { ShadowValues } from '../predictor/shadow.ts'
import { ScoreLearner, type LearnerState, type LearningOptions } from './learn_scores.ts'
import { fitRidge, type LowRankMap, type RidgeOptions } from './ridge.ts'

/** w. */
const WEIGHT = 0.9

/** What a window says of its prompt and its continuation, in a dense pass. */
export interface Observation {
  /** The heads' outputs of every layer, mean over the prompt: [L, C]. */
  readonly features: Float32Array
  /** The rank of every neuron within its layer by how much the continuation uses it, between 0 and 1: [L, F]. */
  readonly usage: Float32Array
}

/** The state of learning: everything that the next step and the predictor depend on. */
export interface LearningState extends LearnerState {
  /** One for each step. */
  readonly observations: readonly Observation[]
}

/** A text, and how many of its tokens are the prompt. */
export interface LearningWindow {
  readonly tokens: Int32Array // [T]
  readonly promptLength: number
}

/**
 * Learns for one budget which units to keep, and how that depends on the prompt, as `shadowllm learn` does. It tries masks on windows of
 * text and needs no calibration: give it a window at each `step`, then make the predictor from its `state` by `learntPredictor`.
 * `trainPredictor` is for predictors of a criterion's scores, which serve every budget; this one for the lowest loss at one budget.
 * @example
 * ```ts
 * import { makeBudget, ShadowModel } from 'shadowllm'
 * import { savePredictor, scoreText, ShadowPredictor } from 'shadowllm/predictor'
 * import { learntPredictor, PredictorLearner } from 'shadowllm/train'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const { model } = opt
 * const story = 'Once upon a time, there was a little girl who had a red ball. She liked to play with it.'
 * const tokens = Int32Array.from(opt.encode(story, { prefix: true }))
 * const budget = makeBudget(0.5)
 *
 * // Two steps, to show the calls. The command takes some hundreds, each with another window.
 * const learner = new PredictorLearner(model, scoreText(model, tokens, tokens), budget, { steps: 2 })
 * for (let step = 0; step < 2; step++) console.log(learner.step({ tokens, promptLength: 8 }))
 *
 * const fit = { sourceLayer: 0, rank: 1, penalty: 1 }
 * const { config, values } = learntPredictor(model, learner.state, budget, fit, { seed: 0, dataHash: '' })
 * const predictor = new ShadowPredictor(model.backend, config, values)
 * await savePredictor('build/learnt.safetensors', predictor)
 * predictor.dispose()
 * await opt.dispose()
 * ```
 */
export class PredictorLearner {
  readonly #model: LanguageModel
  readonly #learner: ScoreLearner
  readonly #observations: Observation[]

  /** @param start static scores to begin with, or what another learner left */
  constructor(
    model: LanguageModel,
    start: UnitScores | LearningState,
    budget: Budget,
    options: LearningOptions,
  ) {
    this.#model = model
    this.#learner = new ScoreLearner(model, start, budget, options)
    this.#observations = 'step' in start ? [...start.observations] : []
  }

  /** The state of learning. Its tables change with each step. */
  get state(): LearningState {
    return { ...this.#learner.state, observations: this.#observations }
  }

  /** One step. @returns KL(dense || under the mask) before it, in nats a token @throws as `traceForward` and `backward` */
  step({ tokens, promptLength }: LearningWindow): number {
    const dense = traceForward(this.#model, tokens)
    try {
      const kl = this.#learner.step({ dense, promptLength })
      this.#observations.push(observe(dense, promptLength))
      return kl
    } finally {
      dense.dispose()
    }
  }
}

function observe(trace: Trace, promptLength: number): Observation {
  const { config } = trace.model
  const { layers: L, neurons: F } = config
  const C = contextWidth(config)
  const features = new Float32Array(L * C)
  const usage = new Float32Array(L * F)
  for (let layer = 0; layer < L; layer++) {
    features.set(meanContext(trace.headOut(layer).subarray(0, promptLength * C), promptLength), layer * C)
    const continuation = trace.fc1Act(layer).subarray(promptLength * F)
    const places = ranks(griffinScores(continuation, trace.length - promptLength))
    for (let j = 0; j < F; j++) usage[layer * F + j] = (places[j] + 0.5) / F
  }
  return { features, usage }
}

// ---- The predictor ---------------------------------------------------------------------------------------------------

/** How the correction is fitted. */
export interface CorrectionOptions extends RidgeOptions {
  /** The source layer. */
  readonly sourceLayer: number
}

/** A predictor's numbers, before it is in a backend. */
export interface LearntPredictor {
  readonly config: ShadowConfig
  readonly values: ShadowValues
  /** The share of the deviation's variance that it predicts, over windows that it was not fitted on; null for too few. */
  readonly explained: number | null
}

/**
 * Makes a predictor from what a `PredictorLearner` has learnt: its config and its numbers, from which `new ShadowPredictor` makes one
 * that `savePredictor` writes. Rank 0 leaves the learnt scores alone, the same for every prompt.
 * @param model its config and shape
 * @param state what the learner has learnt
 * @param options the source layer, the rank of the correction, and λ of its least squares
 * @param origin the seed and the hash of the data, for the config of the predictor
 * @throws UsageError EXAMPLES for no windows, PENALTY
 */
export function learntPredictor(
  { config: modelConfig, shape }: Pick<LanguageModel, 'config' | 'shape'>,
  { scores, observations }: LearningState,
  budget: Budget,
  { sourceLayer, ...ridge }: CorrectionOptions,
  origin: Pick<ShadowConfig, 'seed' | 'dataHash'>,
): LearntPredictor {
  const ranksFrom = Math.min(firstRanked(budget), sourceLayer + 1)
  const C = contextWidth(modelConfig)
  const rows = observations.map(({ features }) => features.subarray(sourceLayer * C, (sourceLayer + 1) * C))
  const moments = featureMoments(rows, C)
  const from = ranksFrom * shape.neurons
  const usages = observations.map(({ usage }) => usage.subarray(from))
  const map = ridge.rank === 0 ? null : fitDeviation(rows, usages, moments, ridge)
  const neurons = correctedBy(map, C, scores.neurons.slice(from))
  return {
    config: {
      kind: 'shadow',
      shape,
      ...featureWidths(modelConfig),
      headHidden: 1,
      neuronHidden: neurons.inputBias.length,
      features: 'dataset',
      criterion: 'learnt',
      ...origin,
      examples: observations.length,
      sourceLayer,
      ranksFrom,
      pooling: 'mean',
      targets: 'rank',
      loss: 'mse',
      top: [],
    },
    values: { heads: correctedBy(null, C, scores.heads.slice(ranksFrom * shape.heads)), neurons, moments },
    explained: map && explainedShare(rows, usages, ridge),
  }
}

function fitDeviation(
  rows: readonly Float32Array[],
  usages: readonly Float32Array[],
  moments: FeatureMoments,
  ridge: RidgeOptions,
): LowRankMap {
  const mean = meanOf(usages)
  const scaled = rows.map((row) => scaleFeatures(row, 'dataset', moments))
  const deviations = usages.map((usage) => usage.map((rank, j) => rank - mean[j]))
  return fitRidge(scaled, deviations, ridge)
}

/** The network of scores and their correction; without one, of a single hidden unit that does nothing. */
function correctedBy(map: LowRankMap | null, width: number, scores: Float32Array): NetworkValues {
  const nothing = new Float32Array(0)
  const { rank, inputs, outputs } = map ?? { rank: 0, inputs: nothing, outputs: nothing }
  const hidden = Math.max(1, 2 * rank)
  const inputWeight = new Float32Array(hidden * width)
  const opposite = inputs.map((value) => -value)
  inputWeight.set(inputs)
  inputWeight.set(opposite, inputs.length)
  const outputWeight = new Float32Array(scores.length * hidden)
  for (let unit = 0; unit < scores.length; unit++)
    for (let i = 0; i < rank; i++) {
      const weight = WEIGHT * outputs[unit * rank + i]
      outputWeight[unit * hidden + i] = weight
      outputWeight[unit * hidden + rank + i] = -weight
    }
  return { inputWeight, inputBias: new Float32Array(hidden), outputWeight, outputBias: scores }
}

/** Every tenth window is predicted from the others. */
function explainedShare(
  rows: readonly Float32Array[],
  usages: readonly Float32Array[],
  ridge: RidgeOptions,
): number | null {
  const isHeldOut = (_: unknown, i: number): boolean => i % 10 === 9
  const isFitted = (row: unknown, i: number): boolean => !isHeldOut(row, i)
  const [x, y] = [rows.filter(isHeldOut), usages.filter(isHeldOut)]
  if (x.length === 0) return null
  const [fitted, known] = [rows.filter(isFitted), usages.filter(isFitted)]
  const moments = featureMoments(fitted, rows[0].length)
  const map = fitDeviation(fitted, known, moments, ridge)
  const mean = meanOf(known)
  let [left, whole] = [0, 0]
  for (const [i, row] of x.entries()) {
    const predicted = applyMap(map, scaleFeatures(row, 'dataset', moments))
    predicted.forEach((value, j) => {
      const deviation = y[i][j] - mean[j]
      left += (deviation - value) ** 2
      whole += deviation ** 2
    })
  }
  return 1 - left / whole
}

function applyMap({ rank, inputs, outputs }: LowRankMap, x: Float32Array): Float64Array {
  const inner = Float64Array.from({ length: rank }, (_, i) => {
    let sum = 0
    for (let d = 0; d < x.length; d++) sum += inputs[i * x.length + d] * x[d]
    return sum
  })
  return Float64Array.from({ length: outputs.length / rank }, (_, o) => {
    let sum = 0
    for (let i = 0; i < rank; i++) sum += outputs[o * rank + i] * inner[i]
    return sum
  })
}

function meanOf(rows: readonly Float32Array[]): Float64Array {
  const mean = new Float64Array(rows[0].length)
  for (const row of rows) for (let j = 0; j < row.length; j++) mean[j] += row[j] / rows.length
  return mean
}
