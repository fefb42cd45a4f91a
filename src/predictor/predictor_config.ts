/**
 * Predictor configs, stored in the file of a predictor: one type for each kind (planners/predictors.ts).
 */
import type { FeatureWidths } from '../engine/config.ts'
import type { UnitKind, UnitShape } from '../masks/mask.ts'
import type { FeatureScaling, Pooling, TargetScaling } from './features.ts'
import type { NetworkShape } from './network.ts'
import type { Predictors } from '../planners/predictors.ts'

/** The kind of a predictor: ShadowLLM's, or one for each layer. */
export type PredictorKind = keyof Predictors
/** The kinds of predictors. */
export const predictorKinds = ['shadow', 'dejavu-style', 'dejavu'] as const satisfies PredictorKind[]

/** What the training of a predictor may minimise. */
export const losses = [
  /** The squared error of scores. */
  'mse',
  /** The cross-entropy of labels: whether a unit is among the best. */
  'bce',
] as const
/** The loss that a predictor is trained by. */
export type LossName = (typeof losses)[number]

/** The fields of all configs. */
export interface PredictorConfigBase extends FeatureWidths {
  readonly shape: UnitShape
  /** Hidden units of a network for heads, and of one for neurons. */
  readonly headHidden: number
  readonly neuronHidden: number
  readonly features: FeatureScaling
  /** The criterion of its targets. */
  readonly criterion: string
  readonly seed: number
  /** The number of its training examples. */
  readonly examples: number
  /** SHA-256 of the calibration text or set, or null if there is none. */
  readonly dataHash: string | null
}

/** The config of ShadowLLM's predictor. */
export interface ShadowConfig extends PredictorConfigBase {
  readonly kind: 'shadow'
  /** The source layer: the predictor reads its heads. */
  readonly sourceLayer: number
  /**
   * The first layer whose units it ranks; default the one after `sourceLayer`. Layers before that can be masked only after a
   * dense prompt: in a masked one they have run when the predictor decides.
   */
  readonly ranksFrom?: number
  readonly pooling: Pooling
  /** The scaling of the target scores; ignored for `bce`. */
  readonly targets: TargetScaling
  readonly loss: LossName
  /** Shares of the units of the model that are labelled as best; empty for `mse`. */
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
  /** Shares of the units of a layer that are labelled as best. */
  readonly top: readonly number[]
}

/** What a predictor's file says of it. */
export type PredictorConfig = ShadowConfig | DejavuStyleConfig | DejavuConfig

/** The defaults of fields that older files of ShadowLLM predictors lack. */
export const shadowDefaults = {
  kind: 'shadow',
  sourceLayer: 0,
  pooling: 'last',
  loss: 'mse',
  top: [],
} as const satisfies Partial<ShadowConfig>

/** The first layer whose units a predictor ranks. */
export function firstRankedBy(config: PredictorConfig): number {
  return config.kind === 'shadow' ? (config.ranksFrom ?? config.sourceLayer + 1) : 1
}

/**
 * How many layers, from the first, run dense under a predictor.
 * @param ranksRead whether it may rank layers that it reads: it decides once, after a prompt that runs dense
 */
export function denseLayers(config: PredictorConfig, ranksRead: boolean): number {
  const first = firstRankedBy(config)
  return config.kind === 'shadow' && !ranksRead ? Math.max(first, config.sourceLayer + 1) : first
}

/** The numbers in a row that a predictor reads: those of the stream for DejaVu, of the heads' outputs for the others. */
export function featureWidth({ kind, width, contextWidth = width }: PredictorConfig): number {
  return kind === 'dejavu' ? width : contextWidth
}

/** The shape of a network for one kind of unit: of the whole model for ShadowLLM, of one layer for the others. */
export function networkShape(config: PredictorConfig, kind: UnitKind): NetworkShape {
  const inputs = featureWidth(config)
  const hidden = kind === 'heads' ? config.headHidden : config.neuronHidden
  const units = config.shape[kind]
  if (config.kind === 'dejavu') return { inputs, hidden, outputs: units, form: 'low-rank' }
  if (config.kind === 'dejavu-style') return { inputs, hidden, outputs: units }
  const layers = Math.max(0, config.shape.layers - firstRankedBy(config))
  return { inputs, hidden, outputs: layers * units, pools: config.pooling === 'attention' }
}

/** How many networks a predictor has for each kind of unit: one for the model, or one for each layer from 1. */
export function networkCount({ kind, shape }: PredictorConfig): number {
  return kind === 'shadow' ? 1 : Math.max(0, shape.layers - 1)
}
