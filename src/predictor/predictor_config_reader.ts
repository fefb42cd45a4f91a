/**
 * Reads the card of a predictor's file, field by field: a file is nobody's word.
 */
import { Fields } from '../io/fields.ts'
import type { UnitShape } from '../masks/mask.ts'
import {
  losses,
  predictorKinds,
  shadowDefaults,
  type BaseCard,
  type PredictorCard,
} from './predictor_config.ts'
import { featureScalings, poolings, targetScalings } from './features.ts'

/** The metadata entry that holds the card. */
export const cardEntry = 'shadowllm.predictor'

const LARGEST_SIZE = 2 ** 24

/**
 * The card of a file.
 * @param text the metadata entry `shadowllm.predictor`
 * @throws InputError PREDICTOR_CARD for one that is missing or wrong, JSON_*
 */
export function readCard(text: string | undefined): PredictorCard {
  const card = Fields.parse(text, { code: 'PREDICTOR_CARD', subject: cardEntry })
  const kind = card.oneOf('kind', predictorKinds, shadowDefaults.kind)
  const base = readBase(card)
  if (kind === 'dejavu') return { kind, ...base, top: card.shares('top') }
  const targets = card.oneOf('targets', targetScalings)
  if (kind === 'dejavu-style') return { kind, ...base, targets }
  const pooling = card.oneOf('pooling', poolings, shadowDefaults.pooling)
  const placement = card.whole('placement', 0, base.shape.layers - 1, shadowDefaults.placement)
  if (pooling === 'attention' && placement > 0)
    throw card.refuse('placement', '0 with attention pooling, which sees layer 0', placement)
  const loss = card.oneOf('loss', losses, shadowDefaults.loss)
  const top = card.shares('top', shadowDefaults.top)
  return { kind, ...base, placement, pooling, targets, loss, top }
}

function readBase(card: Fields): BaseCard {
  const shape = card.fields('shape')
  return {
    shape: {
      layers: shape.whole('layers', 1, LARGEST_SIZE),
      heads: shape.whole('heads', 1, LARGEST_SIZE),
      neurons: shape.whole('neurons', 1, LARGEST_SIZE),
    } satisfies UnitShape,
    width: card.whole('width', 1, LARGEST_SIZE),
    headHidden: card.whole('headHidden', 1, LARGEST_SIZE),
    neuronHidden: card.whole('neuronHidden', 1, LARGEST_SIZE),
    features: card.oneOf('features', featureScalings),
    criterion: card.text('criterion', 'a name'),
    seed: card.whole('seed', 0, 2 ** 32 - 1),
    examples: card.whole('examples', 0, Number.MAX_SAFE_INTEGER),
    dataHash: card.textOrNull('dataHash', 'a hash or null'),
  }
}
