/**
 * A predictor as a file: safetensors, four tensors per network, and what is known of it as JSON in the metadata entry
 * `shadowllm.predictor`. Reading checks the card field by field and every tensor's shape against it.
 *
 *   heads.inputWeight [R, D]   heads.inputBias [R]   heads.outputWeight [(L-1) H, R]   heads.outputBias [(L-1) H]
 *   neurons.*                  the same with F
 */
import type { Backend } from '../backends/backend.ts'
import { describeJson, parseJson, type JsonValue } from '../io/json.ts'
import { openSafetensors } from '../io/safetensors.ts'
import { writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { InputError } from '../tensor/errors.ts'
import type { TensorSource } from '../tensor/tensor_source.ts'
import { featureScalings, targetScalings } from './features.ts'
import { mlpParameterNames, type MlpShape, type MlpValues } from './mlp.ts'
import { networkShape, ShadowPredictor, unitKinds, type PredictorCard, type UnitKind } from './shadow.ts'

/** The metadata entry that holds the card. */
export const cardEntry = 'shadowllm.predictor'

/** Writes a predictor, complete or not at all. @throws the system's error if the file cannot be written */
export async function saveShadowPredictor(path: string, predictor: ShadowPredictor): Promise<void> {
  const tensors = new Map<string, TensorToWrite>()
  for (const kind of unitKinds) {
    const shapes = parameterShapes(networkShape(predictor.card, kind))
    const values = predictor.networks[kind].read()
    for (const name of mlpParameterNames)
      tensors.set(`${kind}.${name}`, { dtype: 'F32', shape: shapes[name], data: values[name] })
  }
  await writeSafetensors(path, tensors, { [cardEntry]: JSON.stringify(predictor.card) })
}

/**
 * Reads a predictor into a backend.
 * @throws InputError PREDICTOR_CARD for a card that is missing or wrong, TENSOR_MISSING, TENSOR_SHAPE, and what
 *   `openSafetensors` throws
 */
export async function loadShadowPredictor(path: string, backend: Backend): Promise<ShadowPredictor> {
  const source = await openSafetensors(path)
  try {
    const card = readCard(source.metadata.get(cardEntry))
    const heads = await readNetwork(source, 'heads', networkShape(card, 'heads'))
    const neurons = await readNetwork(source, 'neurons', networkShape(card, 'neurons'))
    return new ShadowPredictor(backend, card, { heads, neurons })
  } finally {
    await source.close()
  }
}

function parameterShapes({ inputs, hidden, outputs }: MlpShape): Record<keyof MlpValues, number[]> {
  return {
    inputWeight: [hidden, inputs],
    inputBias: [hidden],
    outputWeight: [outputs, hidden],
    outputBias: [outputs],
  }
}

async function readNetwork(source: TensorSource, kind: UnitKind, shape: MlpShape): Promise<MlpValues> {
  const shapes = parameterShapes(shape)
  const values = {} as Record<keyof MlpValues, Float32Array>
  for (const name of mlpParameterNames) {
    const full = `${kind}.${name}`
    const info = source.tensors.get(full)
    const expected = shapes[name].join(', ')
    if (!info)
      throw new InputError('TENSOR_MISSING', `${full}: expected [${expected}], got no such tensor`, {
        tensor: full,
      })
    if (info.shape.join(', ') !== expected)
      throw new InputError(
        'TENSOR_SHAPE',
        `${full}: expected [${expected}], got [${info.shape.join(', ')}]`,
        {
          tensor: full,
        },
      )
    values[name] = await source.read(full)
  }
  return values
}

function refuseCard(field: string, expected: string, got: JsonValue | undefined): InputError {
  return new InputError(
    'PREDICTOR_CARD',
    `${cardEntry}.${field}: expected ${expected}, got ${describeJson(got)}`,
  )
}

const LARGEST_SIZE = 2 ** 24

function readCard(text: string | undefined): PredictorCard {
  if (text === undefined)
    throw new InputError('PREDICTOR_CARD', `${cardEntry}: expected a card in the metadata, got none`)
  const card = parseJson(new TextEncoder().encode(text), cardEntry)
  if (!(card instanceof Map)) throw refuseCard('card', 'an object', card)
  const whole = (from: Map<string, JsonValue>, field: string, least: number, most = LARGEST_SIZE): number => {
    const value = from.get(field)
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    throw refuseCard(field, `a whole number from ${least} to ${most}`, value)
  }
  const oneOf = <T extends string>(field: string, values: readonly T[]): T => {
    const value = values.find((one) => one === card.get(field))
    if (value !== undefined) return value
    throw refuseCard(field, values.join(' or '), card.get(field))
  }
  const shape = card.get('shape')
  if (!(shape instanceof Map)) throw refuseCard('shape', 'an object', shape)
  const criterion = card.get('criterion')
  if (typeof criterion !== 'string') throw refuseCard('criterion', 'a name', criterion)
  const dataHash = card.get('dataHash') ?? null
  if (dataHash !== null && typeof dataHash !== 'string')
    throw refuseCard('dataHash', 'a hash or null', dataHash)
  return {
    shape: {
      layers: whole(shape, 'layers', 1),
      heads: whole(shape, 'heads', 1),
      neurons: whole(shape, 'neurons', 1),
    },
    width: whole(card, 'width', 1),
    headHidden: whole(card, 'headHidden', 1),
    neuronHidden: whole(card, 'neuronHidden', 1),
    features: oneOf('features', featureScalings),
    targets: oneOf('targets', targetScalings),
    criterion,
    seed: whole(card, 'seed', 0, 2 ** 32 - 1),
    examples: whole(card, 'examples', 0, 2 ** 53 - 1),
    dataHash,
  }
}
