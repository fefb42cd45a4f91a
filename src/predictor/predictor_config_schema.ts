/**
 * The schema of predictor configs: for files, which are untrusted input, and for `makePredictorConfig`.
 */
import * as v from 'valibot'
import { isObject } from '../tensor/arguments.ts'
import { parseBySchema, seedNumber, valueThat, wholeNumber } from '../io/schema.ts'
import { featureScalings, poolings, targetScalings } from './features.ts'
import { losses, shadowDefaults, type PredictorConfig } from './predictor_config.ts'

/** The metadata entry that holds the config. */
export const configEntry = 'shadowllm.predictor'

const size = wholeNumber(1, 2 ** 24)
const shares = v.array(
  valueThat<number>(
    (value) => typeof value === 'number' && value > 0 && value < 1,
    'a share between 0 and 1',
  ),
  'a list of shares between 0 and 1',
)

const base = {
  shape: v.object({ layers: size, heads: size, neurons: size }),
  width: size,
  contextWidth: v.exactOptional(size),
  headHidden: size,
  neuronHidden: size,
  features: v.picklist(featureScalings),
  criterion: v.string(),
  seed: seedNumber,
  examples: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  dataHash: v.nullish(v.string(), null),
}

const shadow = v.pipe(
  v.object({
    kind: v.optional(v.literal('shadow'), shadowDefaults.kind),
    ...base,
    sourceLayer: v.optional(wholeNumber(0, 2 ** 24), shadowDefaults.sourceLayer),
    ranksFrom: v.exactOptional(wholeNumber(0, 2 ** 24)),
    pooling: v.optional(v.picklist(poolings), shadowDefaults.pooling),
    targets: v.picklist(targetScalings),
    loss: v.optional(v.picklist(losses), shadowDefaults.loss),
    top: v.optional(shares, [...shadowDefaults.top]),
  }),
  v.forward(
    v.check(
      ({ sourceLayer, shape }) => sourceLayer < shape.layers,
      ({ input }) => `a whole number from 0 to ${input.shape.layers - 1}`,
    ),
    ['sourceLayer'],
  ),
  v.forward(
    v.check(
      ({ sourceLayer, ranksFrom = 0 }) => ranksFrom <= sourceLayer + 1,
      ({ input }) => `a whole number from 0 to ${input.sourceLayer + 1}, the layer after the source`,
    ),
    ['ranksFrom'],
  ),
  v.forward(
    v.check(
      ({ sourceLayer, pooling }) => sourceLayer === 0 || pooling !== 'attention',
      '0 with attention pooling, which sees layer 0',
    ),
    ['sourceLayer'],
  ),
)

/** A predictor config. Files without a kind are of ShadowLLM's. */
export const predictorConfigSchema: v.GenericSchema<unknown, PredictorConfig> = v.variant('kind', [
  shadow,
  v.object({ kind: v.literal('dejavu-style'), ...base, targets: v.picklist(targetScalings) }),
  v.object({ kind: v.literal('dejavu'), ...base, top: shares }),
])

/** The config as files have it: there the source layer has its former name, `placement`. */
export function predictorConfigText(config: PredictorConfig): string {
  const entries = Object.entries(config).map(([name, value]) => [
    name === 'sourceLayer' ? 'placement' : name,
    value,
  ])
  return JSON.stringify(Object.fromEntries(entries))
}

const configOfFile = v.pipe(
  v.unknown(),
  v.transform((value) =>
    isObject(value) && 'placement' in value ? { ...value, sourceLayer: value.placement } : value,
  ),
  predictorConfigSchema,
)

/**
 * Parses the config of a file.
 * @param text the metadata entry `shadowllm.predictor`
 * @throws InputError PREDICTOR_CARD for a missing or invalid config, JSON_*
 */
export function readPredictorConfig(text: string | undefined): PredictorConfig {
  return parseBySchema(configOfFile, text, { code: 'PREDICTOR_CARD', subject: configEntry })
}
