/**
 * Makes predictor configs. Choices that are not given have the defaults that performed best here, or those of the paper's code.
 */
import { checkSchema } from '../io/schema.ts'
import { UsageError } from '../tensor/errors.ts'
import { present } from '../tensor/records.ts'
import {
  shadowDefaults,
  type PredictorConfigBase,
  type DejavuConfig,
  type PredictorConfig,
  type PredictorKind,
  type ShadowConfig,
} from './predictor_config.ts'
import { predictorConfigSchema } from './predictor_config_schema.ts'

/** The part of a config that is given by the model and the data. */
export type PredictorOrigin = Pick<
  PredictorConfigBase,
  'shape' | 'width' | 'contextWidth' | 'criterion' | 'seed' | 'examples' | 'dataHash'
>

/**
 * The choices; not every kind of predictor has all of them. Those that learn labels have `top`, those that learn scores `targets`, and
 * ShadowLLM's alone `loss`, `sourceLayer` and `pooling`.
 */
export type PredictorChoices = Partial<Omit<ShadowConfig, 'kind' | 'ranksFrom' | keyof PredictorOrigin>>

/** The choices of each kind, with their defaults. */
const DEFAULT_CHOICES = {
  shadow: {
    headHidden: 64,
    neuronHidden: 32,
    features: 'standard',
    targets: 'raw',
    loss: shadowDefaults.loss,
    sourceLayer: shadowDefaults.sourceLayer,
    pooling: shadowDefaults.pooling,
    top: [],
  },
  'dejavu-style': { headHidden: 64, neuronHidden: 32, features: 'min_max', targets: 'per_layer' },
  dejavu: { headHidden: 64, neuronHidden: 32, features: 'none', top: [0.5] },
} as const satisfies Record<PredictorKind, PredictorChoices>

/** The default shares of ShadowLLM's labels: one for each of several budgets. */
export const DEFAULT_SHARES: readonly number[] = [0.5, 0.3, 0.2, 0.1]

/**
 * The config of a predictor that is to be trained: `trainPredictor` takes it. Each kind has defaults; `choices` are what differs.
 * @param kind such as `shadow`
 * @param subject the model, and the examples it is trained on
 * @throws UsageError CHOICE for an invalid choice, or one that the kind does not have
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
  const asked = { kind, ...subject, ...usual, ...present(choices) }
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
