/**
 * The targets of a predictor: scores, scaled as its config says, or labels (whether a unit is among the best of the model for
 * ShadowLLM, of its layer for DejaVu).
 */
import type { UnitScores } from '../masks/selection.ts'
import { top_k } from '../ops/top_k.ts'
import { firstRankedBy, type PredictorConfig } from './predictor_config.ts'
import { makeTargets, type TargetScaling } from './features.ts'
import type { UnitKind } from '../masks/mask.ts'

/** The targets of one kind of unit for one example, all layers that are not dense: [(L - dense) U]. */
export function targetsOf(config: PredictorConfig, scores: UnitScores, kind: UnitKind): Float32Array {
  const units = config.shape[kind]
  const scaled = (scaling: TargetScaling): Float32Array =>
    makeTargets(scores[kind], units, scaling, firstRankedBy(config))
  if (config.kind === 'dejavu') return makeLabels(scaled('raw'), units, config.top)
  if (config.kind === 'dejavu-style' || config.loss === 'mse') return scaled(config.targets)
  const raw = scaled('raw')
  return makeLabels(raw, raw.length, config.top)
}

/**
 * How often each unit is kept: the mean, over `shares`, of whether it is among that share of the highest scores of its
 * group of `group` neighbours. With one share that is a label, 0 or 1.
 */
export function makeLabels(scores: Float32Array, group: number, shares: readonly number[]): Float32Array {
  const labels = new Float32Array(scores.length)
  for (let start = 0; start < scores.length; start += group)
    for (const share of shares) {
      const kept = new Int32Array(Math.round(share * group))
      top_k(kept, scores.subarray(start, start + group), group, kept.length)
      for (const unit of kept) labels[start + unit] += 1 / shares.length
    }
  return labels
}
