/**
 * A config from a few choices: what is not chosen is as measured to be good here, or as the released code has it.
 */
import { checkSchema } from '../io/schema.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  shadowDefaults,
  type PredictorConfigBase,
  type DejavuConfig,
  type LossName,
  type PredictorConfig,
  type PredictorKind,
  type ShadowConfig,
} from './predictor_config.ts'
import { predictorConfigSchema } from './predictor_config_schema.ts'
import type { FeatureScaling, Pooling, TargetScaling } from './features.ts'

/** What may be chosen; not everything is every kind's. */
export interface PredictorChoices {
  readonly headHidden?: number
  readonly neuronHidden?: number
  readonly features?: FeatureScaling
  /** ShadowLLM and the per-layer baseline, where scores are learnt. */
  readonly targets?: TargetScaling
  /** ShadowLLM. */
  readonly loss?: LossName
  readonly placement?: number
  readonly pooling?: Pooling
  /** Where labels are learnt: shares of the units that are best. */
  readonly top?: readonly number[]
}

/** What a config is about, whatever is chosen. */
export type PredictorOrigin = Pick<
  PredictorConfigBase,
  'shape' | 'width' | 'criterion' | 'seed' | 'examples' | 'dataHash'
>

/** The choices each kind has, with what is chosen where nothing is said. */
const DEFAULT_CHOICES = {
  shadow: {
    headHidden: 64,
    neuronHidden: 32,
    features: 'standard',
    targets: 'raw',
    loss: shadowDefaults.loss,
    placement: shadowDefaults.placement,
    pooling: shadowDefaults.pooling,
    top: [],
  },
  'dejavu-style': { headHidden: 64, neuronHidden: 32, features: 'min_max', targets: 'per_layer' },
  dejavu: { headHidden: 64, neuronHidden: 32, features: 'none', top: [0.5] },
} as const satisfies Record<PredictorKind, PredictorChoices>

/** The shares that ShadowLLM's labels average over, unless told otherwise: one for each of several budgets. */
export const DEFAULT_SHARES: readonly number[] = [0.5, 0.3, 0.2, 0.1]

/**
 * A config of the kind asked for.
 * @throws UsageError CHOICE for a choice that the kind does not have or that has no meaning
 */
export function makePredictorConfig(
  kind: PredictorKind,
  subject: PredictorOrigin,
  choices: PredictorChoices = {},
): PredictorConfig {
  const usual: PredictorChoices = DEFAULT_CHOICES[kind]
  for (const [name, value] of Object.entries(choices))
    if (value !== undefined && !(name in usual))
      throw new UsageError('CHOICE', `${name}: expected no choice with a predictor of the kind ${kind}`)
  const given = Object.fromEntries(Object.entries(choices).filter(([, value]) => value !== undefined))
  const asked = { kind, ...subject, ...usual, ...given }
  const about = { code: 'CHOICE', subject: '', error: UsageError }
  const config = checkSchema(predictorConfigSchema, asked, about)
  if (config.kind === 'dejavu-style') return config
  if (config.kind === 'dejavu') return checkLabels(config)
  if (config.loss === 'bce')
    return checkLabels(config.top.length > 0 ? config : { ...config, top: DEFAULT_SHARES })
  if (config.top.length > 0) throw new UsageError('CHOICE', 'top: expected no shares with the loss mse')
  return config
}

/** Labels need shares. */
function checkLabels<Config extends ShadowConfig | DejavuConfig>(config: Config): Config {
  if (config.top.length > 0) return config
  throw new UsageError('CHOICE', 'top: expected shares between 0 and 1, got none')
}
