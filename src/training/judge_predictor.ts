/**
 * Evaluates a predictor on examples it was not trained on, against two baselines without a predictor.
 *
 *   predictor        the predictions for each prompt
 *   mean-target      the mean of its training targets, the same for every prompt
 *   mean-score       the mean of the criterion's scores, by which static pruning ranks; equal to mean-target if targets are
 *                    raw
 *
 * All are compared with the oracle scores.
 */
import { makeBudget, type Scope } from '../masks/budget.ts'
import { referenceTopK, type TopK, type UnitScores } from '../masks/selection.ts'
import { firstRankedBy, type PredictorConfig } from '../predictor/predictor_config.ts'
import type { CalibrationExample } from '../predictor/example.ts'
import { scoresFromOutputs } from '../predictor/features.ts'
import { QualityMeter, type ScoreQuality } from '../predictor/metrics.ts'
import { predictScores } from '../predictor/predict.ts'
import type { Predictor } from '../predictor/predictor_file.ts'
import { targetsOf } from '../predictor/targets.ts'
import { scoresOf } from './train_predictor.ts'
import { unitKinds, type UnitKind } from '../masks/mask.ts'

/** The predictions that are evaluated. */
export const contestants = [
  /** The scores that the predictor expects for the prompt of an example. */
  'predictor',
  /** The mean of the targets that the predictor was trained on, for every prompt. */
  'mean-target',
  /** The mean of the criterion's scores, for every prompt: what `static` ranks by. */
  'mean-score',
] as const
/** What is judged: a predictor, or what it must beat. */
export type Contestant = (typeof contestants)[number]

/** The quality of a predictor and of the baselines. */
export interface Verdict {
  /** The number of examples. */
  readonly examples: number
  readonly scope: Scope
  /** The budgets of `at`. */
  readonly sparsities: readonly number[]
  readonly qualities: Readonly<Record<Contestant, Readonly<Record<UnitKind, ScoreQuality>>>>
}

/** The budgets of the masks. */
export interface JudgeOptions {
  readonly sparsities: readonly number[]
  readonly scope: Scope
  readonly topK?: TopK
}

/**
 * How good a predictor is on prompts that it has not seen, beside the baselines that it must beat: rank correlations of scores, and how
 * much the masks of each budget keep of the best ones. `splitExamples` parts the examples of a calibration.
 * @param seen the examples it was trained on, for the baselines
 * @param unseen examples it was not trained on
 * @throws UsageError EXAMPLES for an example that lacks scores or features
 */
export function judgePredictor(
  predictor: Predictor,
  seen: readonly CalibrationExample[],
  unseen: readonly CalibrationExample[],
  { sparsities, scope, topK = referenceTopK }: JudgeOptions,
): Verdict {
  const { config } = predictor
  const dense = firstRankedBy(config)
  const budgets = sparsities.map((sparsity) => makeBudget(sparsity, { scope }))
  const constants = {
    'mean-target': meanOf(config, seen, (scores, kind) => targetsOf(config, scores, kind)),
    'mean-score': meanOf(config, seen, (scores, kind) => scores[kind].subarray(dense * config.shape[kind])),
  }
  const measure = (predict: (example: CalibrationExample) => UnitScores): Record<UnitKind, ScoreQuality> => {
    const meter = new QualityMeter(budgets, dense, topK)
    for (const example of unseen) meter.add(predict(example), scoresOf(config, example))
    return meter.read()
  }
  return {
    examples: unseen.length,
    scope,
    sparsities,
    qualities: {
      predictor: measure(({ features }) => predictScores(predictor, features)),
      'mean-target': measure(() => constants['mean-target']),
      'mean-score': measure(() => constants['mean-score']),
    },
  }
}

/** The mean over examples, as scores of the whole model. @param read [(L - dense) U] of an example */
function meanOf(
  config: PredictorConfig,
  examples: readonly CalibrationExample[],
  read: (scores: UnitScores, kind: UnitKind) => Float32Array,
): UnitScores {
  const dense = firstRankedBy(config)
  const [heads, neurons] = unitKinds.map((kind) => {
    const sums = new Float64Array(Math.max(0, config.shape.layers - dense) * config.shape[kind])
    for (const example of examples)
      read(scoresOf(config, example), kind).forEach((value, i) => (sums[i] += value))
    return Float32Array.from(sums, (total) => total / examples.length)
  })
  return scoresFromOutputs(config.shape, heads, neurons, dense)
}
