/**
 * A card from a few choices: what is not chosen is as measured to be good here, or as the released code has it.
 */
import { checkSchema } from '../io/schema.ts'
import { UsageError } from '../tensor/errors.ts'
import {
  shadowDefaults,
  type BaseCard,
  type DejavuCard,
  type LossName,
  type PredictorCard,
  type PredictorKind,
  type ShadowCard,
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

/** What a card is about, whatever is chosen. */
export type CardSubject = Pick<BaseCard, 'shape' | 'width' | 'criterion' | 'seed' | 'examples' | 'dataHash'>

/** The choices each kind has, with what is chosen where nothing is said. */
const usualChoices = {
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
export const usualShares: readonly number[] = [0.5, 0.3, 0.2, 0.1]

/**
 * A card of the kind asked for.
 * @throws UsageError CHOICE for a choice that the kind does not have or that has no meaning
 */
export function makeCard(
  kind: PredictorKind,
  subject: CardSubject,
  choices: PredictorChoices = {},
): PredictorCard {
  const usual: PredictorChoices = usualChoices[kind]
  for (const [name, value] of Object.entries(choices))
    if (value !== undefined && !(name in usual))
      throw new UsageError('CHOICE', `${name}: expected no choice with a predictor of the kind ${kind}`)
  const given = Object.fromEntries(Object.entries(choices).filter(([, value]) => value !== undefined))
  const asked = { kind, ...subject, ...usual, ...given }
  const about = { code: 'CHOICE', subject: '', error: UsageError }
  const card = checkSchema(predictorConfigSchema, asked, about)
  if (card.kind === 'dejavu-style') return card
  if (card.kind === 'dejavu') return checkLabels(card)
  if (card.loss === 'bce') return checkLabels(card.top.length > 0 ? card : { ...card, top: usualShares })
  if (card.top.length > 0) throw new UsageError('CHOICE', 'top: expected no shares with the loss mse')
  return card
}

/** Labels need shares. */
function checkLabels<Card extends ShadowCard | DejavuCard>(card: Card): Card {
  if (card.top.length > 0) return card
  throw new UsageError('CHOICE', 'top: expected shares between 0 and 1, got none')
}
