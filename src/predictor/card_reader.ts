/**
 * Reads the card of a predictor's file, field by field: a file is nobody's word.
 */
import { describeJson, parseJson, type JsonMap, type JsonValue } from '../io/json.ts'
import { InputError } from '../tensor/errors.ts'
import type { UnitShape } from '../masks/mask.ts'
import { losses, predictorKinds, shadowDefaults, type BaseCard, type PredictorCard } from './card.ts'
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
  if (text === undefined)
    throw new InputError('PREDICTOR_CARD', `${cardEntry}: expected a card in the metadata, got none`)
  const value = parseJson(new TextEncoder().encode(text), cardEntry)
  if (!(value instanceof Map)) throw refuse('card', 'an object', value)
  const card = new Fields(value)
  const kind = card.oneOf('kind', predictorKinds, shadowDefaults.kind)
  const base = readBase(card)
  if (kind === 'dejavu') return { kind, ...base, top: card.shares('top') }
  const targets = card.oneOf('targets', targetScalings)
  if (kind === 'dejavu-style') return { kind, ...base, targets }
  const pooling = card.oneOf('pooling', poolings, shadowDefaults.pooling)
  const placement = card.whole('placement', 0, base.shape.layers - 1, shadowDefaults.placement)
  if (pooling === 'attention' && placement > 0)
    throw refuse('placement', '0 with attention pooling, which sees layer 0', placement)
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

/** The fields of an object; each is read as what it must be. What has a fallback may be missing. */
class Fields {
  readonly #map: JsonMap

  constructor(map: JsonMap) {
    this.#map = map
  }

  fields(name: string): Fields {
    const value = this.#map.get(name)
    if (value instanceof Map) return new Fields(value)
    throw refuse(name, 'an object', value)
  }

  whole(name: string, least: number, most: number, fallback?: number): number {
    const value = this.#map.get(name) ?? fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw refuse(name, `a whole number from ${least} to ${most}`, value)
  }

  oneOf<Name extends string>(name: string, names: readonly Name[], fallback?: Name): Name {
    const value = this.#map.get(name) ?? fallback
    const known = names.find((one) => one === value)
    if (known !== undefined) return known
    throw refuse(name, names.join(' or '), value)
  }

  /** Shares in (0, 1). */
  shares(name: string, fallback?: readonly number[]): number[] {
    const value = this.#map.get(name) ?? (fallback && [...fallback])
    const isShare = (share: JsonValue): share is number => typeof share === 'number' && share > 0 && share < 1
    if (Array.isArray(value) && value.every(isShare)) return value
    throw refuse(name, 'a list of shares between 0 and 1', value)
  }

  text(name: string, expected: string): string {
    const value = this.#map.get(name)
    if (typeof value === 'string') return value
    throw refuse(name, expected, value)
  }

  textOrNull(name: string, expected: string): string | null {
    const value = this.#map.get(name) ?? null
    return value === null ? null : this.text(name, expected)
  }
}

function refuse(field: string, expected: string, got: JsonValue | undefined): InputError {
  return new InputError(
    'PREDICTOR_CARD',
    `${cardEntry}.${field}: expected ${expected}, got ${describeJson(got)}`,
  )
}
