/**
 * What is known of a predictor besides its numbers, kept with it in its file: a config for each kind.
 *
 *   shadow         ShadowLLM: two networks for the whole model, which see the prompt in one early layer
 *   dejavu-style   two networks for every layer, which see that layer's own heads in a dense pass: the baseline as the
 *                  authors of ShadowLLM built it
 *   dejavu         two low-rank networks for every layer, which see the stream one layer earlier (arXiv 2310.17157)
 */
import type { UnitShape } from '../masks/mask.ts'
import type { FeatureScaling, Pooling, TargetScaling } from './features.ts'
import type { NetworkShape } from './network.ts'

export const predictorKinds = ['shadow', 'dejavu-style', 'dejavu'] as const
export type PredictorKind = (typeof predictorKinds)[number]

/** mse: the targets themselves. bce: labels, whether a unit is among the best. */
export const losses = ['mse', 'bce'] as const
export type LossName = (typeof losses)[number]

/** The two kinds of unit, each with networks of its own. */
export const unitKinds = ['heads', 'neurons'] as const
export type UnitKind = (typeof unitKinds)[number]

/** What all configs say. */
export interface PredictorConfigBase {
  readonly shape: UnitShape
  /** D, the width of the model it was made for. */
  readonly width: number
  /** Hidden units of a network for heads, and of one for neurons. */
  readonly headHidden: number
  readonly neuronHidden: number
  readonly features: FeatureScaling
  /** The criterion its targets come from. */
  readonly criterion: string
  readonly seed: number
  /** Examples it was made from. */
  readonly examples: number
  /** SHA-256 of the calibration text or set, or null where it was not hashed. */
  readonly dataHash: string | null
}

/** The config of ShadowLLM's predictor. */
export interface ShadowConfig extends PredictorConfigBase {
  readonly kind: 'shadow'
  /** The layer whose heads it sees; layers 0 to `placement` run whole. */
  readonly placement: number
  readonly pooling: Pooling
  /** How the scores were scaled before they were learnt; labels do not mind. */
  readonly targets: TargetScaling
  readonly loss: LossName
  /** Shares of the model's units that are best, by which labels are made; empty where there are none. */
  readonly top: readonly number[]
}

/** The config of the per-layer baseline. */
export interface DejavuStyleConfig extends PredictorConfigBase {
  readonly kind: 'dejavu-style'
  readonly targets: TargetScaling
}

/** The config of DejaVu's predictors. */
export interface DejavuConfig extends PredictorConfigBase {
  readonly kind: 'dejavu'
  /** Shares of a layer's units that are best, by which labels are made. */
  readonly top: readonly number[]
}

export type PredictorConfig = ShadowConfig | DejavuStyleConfig | DejavuConfig

/** What a config of ShadowLLM says where it does not say: files from before these choices existed. */
export const shadowDefaults = {
  kind: 'shadow',
  placement: 0,
  pooling: 'last',
  loss: 'mse',
  top: [],
} as const satisfies Partial<ShadowConfig>

/** How many layers, from the first, run whole under a predictor. */
export function denseLayers(config: PredictorConfig): number {
  return config.kind === 'shadow' ? config.placement + 1 : 1
}

/** The shape of a network for one kind of unit: ShadowLLM's one, or one layer's of the others. */
export function networkShape(config: PredictorConfig, kind: UnitKind): NetworkShape {
  const inputs = config.width
  const hidden = kind === 'heads' ? config.headHidden : config.neuronHidden
  const units = config.shape[kind]
  if (config.kind === 'dejavu') return { inputs, hidden, outputs: units, form: 'low-rank' }
  if (config.kind === 'dejavu-style') return { inputs, hidden, outputs: units }
  const layers = Math.max(0, config.shape.layers - denseLayers(config))
  return { inputs, hidden, outputs: layers * units, pools: config.pooling === 'attention' }
}
