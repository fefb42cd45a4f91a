/**
 * A card from a few choices: what is not chosen is as measured to be good here, or as the released code has it.
 */
import { UsageError } from '../tensor/errors.ts'
import {
  losses,
  shadowDefaults,
  type BaseCard,
  type DejavuCard,
  type DejavuStyleCard,
  type LossName,
  type PredictorCard,
  type PredictorKind,
  type ShadowCard,
} from './predictor_config.ts'
import { featureScalings, poolings, targetScalings } from './features.ts'
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
export const usualChoices = {
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
  const card = { kind, ...subject, ...usual, ...given } as PredictorCard
  checkSizes(card)
  if (card.kind === 'dejavu-style') return checkTargets(card)
  if (card.kind === 'dejavu') return checkShares(card)
  return checkShadow(card)
}

function checkShadow(card: ShadowCard): ShadowCard {
  checkTargets(card)
  oneOf('pooling', card.pooling, poolings)
  oneOf('loss', card.loss, losses)
  whole('placement', card.placement, 0, card.shape.layers - 1)
  if (card.pooling === 'attention' && card.placement > 0)
    throw new UsageError(
      'CHOICE',
      `placement: expected 0 with attention pooling, which sees layer 0, got ${card.placement}`,
    )
  if (card.loss === 'bce') return checkShares(card.top.length > 0 ? card : { ...card, top: usualShares })
  if (card.top.length > 0) throw new UsageError('CHOICE', 'top: expected no shares with the loss mse')
  return card
}

function checkSizes(card: PredictorCard): void {
  whole('headHidden', card.headHidden, 1, 2 ** 24)
  whole('neuronHidden', card.neuronHidden, 1, 2 ** 24)
  oneOf('features', card.features, featureScalings)
}

function checkTargets<Card extends ShadowCard | DejavuStyleCard>(card: Card): Card {
  oneOf('targets', card.targets, targetScalings)
  return card
}

function checkShares<Card extends ShadowCard | DejavuCard>(card: Card): Card {
  if (card.top.length > 0 && card.top.every((share) => share > 0 && share < 1)) return card
  throw new UsageError('CHOICE', `top: expected shares between 0 and 1, got ${card.top.join(', ') || 'none'}`)
}

function whole(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError('CHOICE', `${name}: expected a whole number from ${least} to ${most}, got ${value}`)
}

function oneOf(name: string, value: string, names: readonly string[]): void {
  if (!names.includes(value))
    throw new UsageError('CHOICE', `${name}: expected ${names.join(' or ')}, got ${value}`)
}
