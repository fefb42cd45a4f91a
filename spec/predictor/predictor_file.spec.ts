/**
 * Predictors of every kind: what each sees, that it comes back from its file with the same bits, and that a file that is
 * not what it says is refused.
 *
 * Tests src/predictor/dejavu.ts, src/predictor/dejavu_style.ts, src/predictor/layer_networks.ts,
 * src/predictor/make_predictor_config.ts, src/predictor/network.ts, src/predictor/predict.ts,
 * src/predictor/predictor_config.ts and src/predictor/predictor_config_schema.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { encodeSafetensors, writeSafetensors, type TensorToWrite } from '../../src/io/safetensors_writer.ts'
import {
  featureWidth,
  networkShape,
  predictorKinds,
  type DejavuStyleConfig,
  type PredictorConfig,
  type PredictorKind,
  type ShadowConfig,
} from '../../src/predictor/predictor_config.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import {
  configEntry,
  predictorConfigText,
  readPredictorConfig,
} from '../../src/predictor/predictor_config_schema.ts'
import { DejavuPredictor } from '../../src/predictor/dejavu.ts'
import { DejavuStylePredictor } from '../../src/predictor/dejavu_style.ts'
import type { PromptFeatures } from '../../src/predictor/example.ts'
import {
  makePredictorConfig,
  DEFAULT_SHARES,
  type PredictorChoices,
} from '../../src/predictor/make_predictor_config.ts'
import { networkParameterShapes, type NetworkValues } from '../../src/predictor/network.ts'
import { predictScores } from '../../src/predictor/predict.ts'
import {
  learntUse,
  openPredictor,
  predictorTensors,
  savePredictor,
  sourceEntry,
  type LearntUse,
  type Predictor,
} from '../../src/predictor/predictor_file.ts'
import { ShadowPredictor } from '../../src/predictor/shadow.ts'
import { Random } from '../../src/tensor/random.ts'
import { expectNear, fixtures } from '../golden/golden.ts'
import { killsEach, lawAlways, stateLaw } from '../harness/seed.ts'
import { owesBits, portableNames } from '../harness/strict.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { narrowToBf16, widenBf16 } from '../../src/tensor/halves.ts'
import { unitKinds } from '../../src/masks/mask.ts'

const shape = { layers: 4, heads: 2, neurons: 5 }
/** Of the stream, and of the heads' outputs side by side. */
const [width, contextWidth] = [6, 8]
const subject = { shape, width, contextWidth, criterion: 'plainact', seed: 9, examples: 12, dataHash: null }
const sizes = { headHidden: 3, neuronHidden: 4 }

/** Every kind, and every choice that changes what is in the file. */
const choices: [string, PredictorKind, PredictorChoices][] = [
  ['shadow', 'shadow', {}],
  ['shadow behind layer 1, mean', 'shadow', { sourceLayer: 1, pooling: 'mean', features: 'dataset' }],
  ['shadow, attention, labels', 'shadow', { pooling: 'attention', features: 'dataset', loss: 'bce' }],
  ['dejavu-style', 'dejavu-style', {}],
  ['dejavu-style, moments', 'dejavu-style', { features: 'dataset', targets: 'raw' }],
  ['dejavu', 'dejavu', { top: [0.25] }],
  ['dejavu, moments', 'dejavu', { features: 'dataset' }],
]

const random = new Random(1)
const table = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal())
const positive = (length: number): Float32Array => table(length).map((value) => Math.abs(value) + 0.5)

function someValues(config: PredictorConfig, kind: 'heads' | 'neurons'): NetworkValues {
  const none = new Float32Array(0)
  const values = [...networkParameterShapes(networkShape(config, kind))].map(([name, dimensions]) => [
    name,
    table(dimensions.reduce((product, size) => product * size, 1)),
  ])
  return { inputBias: none, outputBias: none, ...Object.fromEntries(values) } as NetworkValues
}

function somePredictor(backend: Backend, kind: PredictorKind, chosen: PredictorChoices): Predictor {
  const config = makePredictorConfig(kind, subject, { ...sizes, ...chosen })
  const inputs = featureWidth(config)
  const moments = { mean: table(inputs), spread: positive(inputs) }
  const scaled = config.features === 'dataset'
  if (config.kind === 'shadow') {
    const values = { heads: someValues(config, 'heads'), neurons: someValues(config, 'neurons') }
    return new ShadowPredictor(backend, config, { ...values, moments: scaled ? moments : null })
  }
  const of = (units: 'heads' | 'neurons'): NetworkValues[] => [1, 2, 3].map(() => someValues(config, units))
  const each = [1, 2, 3].map(() => ({ mean: table(inputs), spread: positive(inputs) }))
  const values = { heads: of('heads'), neurons: of('neurons'), moments: scaled ? each : null }
  return config.kind === 'dejavu'
    ? new DejavuPredictor(backend, config, values)
    : new DejavuStylePredictor(backend, config, values)
}

const features: PromptFeatures = {
  last: table(4 * contextWidth),
  mean: table(4 * contextWidth),
  stream: table(4 * width),
  sequence: table(3 * contextWidth),
}

const folder = temporaryFolder()
const path = join(folder, 'predictor.safetensors')

type Save = typeof savePredictor

/** A predictor of each choice, its file, and what is read of it. */
const isHalved = lawAlways(
  'with matrices of bf16 comes back with rounded matrices, and all else exact',
  async (save: Save) => {
    for (const [, kind, chosen] of choices) {
      const backend = await createBackend('reference')
      const predictor = somePredictor(backend, kind, chosen)
      await save(path, predictor, { matrices: 'bf16', source: { text: 'a.txt', windows: 3 } })
      const file = await openSafetensors(path)
      const again = await openPredictor(path, backend)
      try {
        expect(JSON.parse(file.metadata.get(sourceEntry) ?? '')).toEqual({ text: 'a.txt', windows: 3 })
        expect(again.config).toEqual(predictor.config)
        for (const [name, { data }] of predictorTensors(predictor)) {
          const isMatrix = name.endsWith('Weight')
          expect([name, file.tensors.get(name)?.dtype]).toEqual([name, isMatrix ? 'BF16' : 'F32'])
          const expected = isMatrix ? widenBf16(narrowToBf16(data as Float32Array)) : data
          expect([name, predictorTensors(again).get(name)?.data]).toEqual([name, expected])
        }
      } finally {
        await file.close()
        again.dispose()
        predictor.dispose()
        backend.dispose()
      }
    }
  },
)

describe('a file', () => {
  stateLaw(isHalved, savePredictor)

  killsEach('mutant: %s: killed', isHalved, {
    'it is written as f32 all the same': (to, predictor, options) =>
      savePredictor(to, predictor, { ...options, matrices: 'f32' }),
    'it does not say what it was made from': (to, predictor) =>
      savePredictor(to, predictor, { matrices: 'bf16' }),
    'everything is rounded': (to, predictor, { source } = {}) => {
      const metadata = {
        [configEntry]: JSON.stringify(predictor.config),
        [sourceEntry]: JSON.stringify(source),
      }
      const tensors = [...predictorTensors(predictor)].map(
        ([name, tensor]) => [name, { ...tensor, dtype: 'BF16' }] as const,
      )
      return writeSafetensors(to, new Map<string, TensorToWrite>(tensors), metadata)
    },
  })
})

test('for which masks it was learnt is what its file says; anything else says nothing', async () => {
  const use = { scope: 'per-layer', prefill: 'dense' } as const
  const said = async (entry?: string): Promise<LearntUse | null> => {
    const tensor: TensorToWrite = { dtype: 'F32', shape: [1], data: Float32Array.of(0) }
    const metadata = { [configEntry]: '', ...(entry !== undefined && { [sourceEntry]: entry }) }
    await writeSafetensors(path, new Map([['a', tensor]]), metadata)
    return learntUse(path)
  }
  expect(await said(JSON.stringify({ ...use, steps: 3 }))).toEqual(use)
  const neurons = { ...use, headSparsity: 0 } as const
  expect(await said(JSON.stringify({ ...neurons, neuronSparsity: 0.5 }))).toEqual(neurons)
  const damaged = ['', '{', 'null', '3', '{"scope":"per-layer"}', JSON.stringify({ ...use, prefill: 'wet' })]
  for (const entry of [undefined, ...damaged]) expect(await said(entry)).toBeNull()
})

describe.each(choices)('%s', (_, kind, chosen) => {
  test('round-trips through its file with the same configuration and bits, on every backend', async () => {
    const reference = await createBackend('reference')
    const predictor = somePredictor(reference, kind, chosen)
    await savePredictor(path, predictor)
    const scores = predictScores(predictor, features)
    for (const name of portableNames) {
      const backend = await createBackend(name)
      const again = await openPredictor(path, backend)
      expect(again.config).toEqual(predictor.config)
      expect(predictorTensors(again)).toEqual(predictorTensors(predictor))
      if (owesBits(backend)) expect(predictScores(again, features)).toEqual(scores)
      again.dispose()
      expect(backend.liveBuffers).toBe(0)
      backend.dispose()
    }
    predictor.dispose()
    expect(reference.liveBuffers).toBe(0)
  })

  test('scores the units of the layers that are not dense, each on its own', async () => {
    const backend = await createBackend('reference')
    const predictor = somePredictor(backend, kind, chosen)
    const dense = 1 + (chosen.sourceLayer ?? 0)
    const scores = predictScores(predictor, features)
    for (const units of unitKinds) {
      const split = dense * shape[units]
      expect(scores[units]).toHaveLength(shape.layers * shape[units])
      expect(scores[units].subarray(0, split)).toEqual(new Float32Array(split))
      const rest = scores[units].subarray(split)
      expect(new Set(rest).size).toBe(rest.length)
    }
    predictor.dispose()
  })

  test('a file that lacks a tensor, or has one of another shape, is refused and leaves nothing behind', async () => {
    const backend = await createBackend('reference')
    const predictor = somePredictor(backend, kind, chosen)
    const tensors = predictorTensors(predictor)
    const metadata = { [configEntry]: JSON.stringify(predictor.config) }
    predictor.dispose()
    for (const [name, tensor] of tensors) {
      const less = new Map([...tensors].filter(([other]) => other !== name))
      const longer = { ...tensor, shape: [...tensor.shape, 1] }
      const changes: [Map<string, TensorToWrite>, string][] = [
        [less, `${name}: expected [${tensor.shape.join(', ')}], got no such tensor`],
        [new Map([...less, [name, longer]]), `got [${longer.shape.join(', ')}]`],
      ]
      for (const [changed, message] of changes) {
        writeFileSync(path, encodeSafetensors(changed, metadata))
        await expect(openPredictor(path, backend)).rejects.toThrow(message)
      }
    }
    expect(backend.liveBuffers).toBe(0)
  })
})

describe('the inputs of each kind', async () => {
  const backend = await createBackend('reference')
  /** A row of one of the features changed, of the four that it has. */
  const moved = (values: Float32Array, row: number): Float32Array =>
    values.map((value, i) => (Math.floor((4 * i) / values.length) === row ? value + 1 + (i % 3) : value))

  /** Which layers' scores change when row `row` of one of the features does. */
  function touched(
    predictor: Predictor,
    part: 'last' | 'mean' | 'stream',
    row: number,
    predict = predictScores,
  ): number[] {
    const before = predict(predictor, features).neurons
    const after = predict(predictor, { ...features, [part]: moved(features[part], row) }).neurons
    const layers = [0, 1, 2, 3]
    return layers.filter((layer) => {
      const [start, end] = [layer * shape.neurons, (layer + 1) * shape.neurons]
      return before.subarray(start, end).join() !== after.subarray(start, end).join()
    })
  }

  test('ShadowLLM reads one layer, for all later layers', () => {
    const predictor = somePredictor(backend, 'shadow', { sourceLayer: 1, pooling: 'mean', features: 'none' })
    expect([0, 1, 2, 3].map((row) => touched(predictor, 'mean', row))).toEqual([[], [2, 3], [], []])
    expect([0, 1, 2, 3].map((row) => touched(predictor, 'last', row))).toEqual([[], [], [], []])
    predictor.dispose()
  })

  test('the per-layer baseline reads the heads of each layer', () => {
    const predictor = somePredictor(backend, 'dejavu-style', { features: 'none' })
    expect([0, 1, 2, 3].map((row) => touched(predictor, 'last', row))).toEqual([[], [1], [2], [3]])
    predictor.dispose()
  })

  test('DejaVu reads the stream that enters the layer before: one layer ahead', () => {
    const predictor = somePredictor(backend, 'dejavu', {})
    const expected = [[1], [2], [3], []]
    expect([0, 1, 2, 3].map((row) => touched(predictor, 'stream', row))).toEqual(expected)
    // A mutant that looks at the layer itself is told apart.
    const late: typeof predictScores = (one, { stream, ...rest }) =>
      predictScores(one, {
        ...rest,
        stream: Float32Array.from([...stream.subarray(width), ...stream.subarray(0, width)]),
      })
    expect([0, 1, 2, 3].map((row) => touched(predictor, 'stream', row, late))).not.toEqual(expected)
    predictor.dispose()
  })

  test('pooling: the last token alone, the mean in any order, attention with weights for every token', () => {
    const prompt = table(3 * contextWidth)
    const turned = Float32Array.from([...prompt.subarray(contextWidth), ...prompt.subarray(0, contextWidth)])
    for (const pooling of ['last', 'mean', 'attention'] as const) {
      const predictor = somePredictor(backend, 'shadow', { pooling, features: 'none' }) as ShadowPredictor
      const { neurons } = predictor.predict(prompt, 3)
      const again = predictor.predict(turned, 3).neurons
      if (pooling === 'last') expect(again).not.toEqual(neurons)
      else expectNear(again, neurons, 1e-4, 'in another order')
      const first = predictor.predict(moved(prompt, 0), 3).neurons
      if (pooling === 'last') expect(first).toEqual(neurons)
      else expect(first).not.toEqual(neurons)
      expect(() => predictor.predict(prompt.subarray(1), 3)).toThrow('context: expected [3, 8]')
      predictor.dispose()
    }
  })

  test('the released per-layer baseline omits its training-time scaling; the fixed one applies it', () => {
    const plain = somePredictor(backend, 'dejavu-style', {}) as DejavuStylePredictor
    const { config } = plain
    const { networks } = plain
    const values = {
      heads: networks.heads.map((network) => network.read()),
      neurons: networks.neurons.map((network) => network.read()),
    }
    const unscaledCard: DejavuStyleConfig = { ...config, features: 'none' }
    const unscaled = new DejavuStylePredictor(backend, unscaledCard, values)
    const last = table(4 * contextWidth)
    expect(plain.predict(last, 'as-shipped')).toEqual(unscaled.predict(last))
    expect(plain.predict(last)).toEqual(plain.predict(last, 'fixed'))
    expect(plain.predict(last).neurons).not.toEqual(plain.predict(last, 'as-shipped').neurons)
    // Scaled to [0, 1], features have no size of their own.
    const loud = plain.predict(last.map((value) => 8 * value)).neurons
    expectNear(loud, plain.predict(last).neurons, 1e-4, 'loud')
    for (const one of [plain, unscaled]) one.dispose()
  })

  test("DejaVu's scores are the log odds of a layer's own networks", () => {
    const predictor = somePredictor(backend, 'dejavu', {}) as DejavuPredictor
    const stream = table(width)
    const { heads, neurons } = predictor.predictLayer(2, stream)
    const { networks } = predictor
    expect(heads).toEqual(networks.heads[1].predict(stream))
    expect(neurons).toEqual(networks.neurons[1].predict(stream))
    expect(neurons).not.toEqual(networks.neurons[0].predict(stream))
    expect(() => predictor.predictLayer(0, stream)).toThrow('layer: expected one from 1 to 3, got 0')
    expect(() => predictor.predictLayer(1, table(5))).toThrow('stream: expected [6], got 5 numbers')
    predictor.dispose()
  })
})

describe('a configuration', () => {
  test('has its source layer in a file under the former name, placement', () => {
    const subject = { shape: { layers: 4, heads: 2, neurons: 3 }, width: 4, criterion: 'plainact' }
    const origin = { ...subject, seed: 0, examples: 5, dataHash: null }
    const config = makePredictorConfig('shadow', origin, { sourceLayer: 2 })
    const text = predictorConfigText(config)
    expect(JSON.parse(text)).toMatchObject({ placement: 2 })
    expect(text).not.toContain('sourceLayer')
    expect(readPredictorConfig(text)).toMatchObject({ sourceLayer: 2 })
  })

  test('of a file without a kind is ShadowLLM with the last token of layer 0', async () => {
    const backend = await createBackend('reference')
    const today = await openPredictor(`${fixtures}tiny-opt/predictor.safetensors`, backend)
    const { kind, sourceLayer, pooling, loss, top, ...written } = today.config as ShadowConfig
    expect([kind, sourceLayer, pooling, loss, top]).toEqual(['shadow', 0, 'last', 'mse', []])
    await writeSafetensors(path, predictorTensors(today), { [configEntry]: JSON.stringify(written) })
    today.dispose()
    const predictor = await openPredictor(path, backend)
    expect(predictor.config).toMatchObject({
      ...written,
      kind: 'shadow',
      sourceLayer: 0,
      pooling: 'last',
      loss: 'mse',
    })
    predictor.dispose()
    expect(backend.liveBuffers).toBe(0)
  })

  const refusals: [string, PredictorKind, object, string][] = [
    ['an unknown kind', 'shadow', { kind: 'crystal' }, ' kind: expected shadow or dejavu-style or dejavu'],
    [
      'a layer that is not there',
      'shadow',
      { sourceLayer: 4 },
      ' sourceLayer: expected a whole number from 0 to 3',
    ],
    [
      'attention over a later layer',
      'shadow',
      { pooling: 'attention', sourceLayer: 1 },
      ' sourceLayer: expected 0 with attention pooling',
    ],
    ['an unknown pooling', 'shadow', { pooling: 'max' }, ' pooling: expected last or mean or attention'],
    ['an unknown loss', 'shadow', { loss: 'hinge' }, ' loss: expected mse or bce'],
    ['labels of everything', 'dejavu', { top: [1] }, ' top.0: expected a share between 0 and 1'],
    ['no labels at all', 'dejavu', { top: undefined }, ' top: expected a list of shares'],
    [
      'targets that are missing',
      'dejavu-style',
      { targets: undefined },
      ' targets: expected per_layer or raw',
    ],
    [
      'a hash that is a number',
      'dejavu-style',
      { dataHash: 7 },
      ' dataHash: expected text, got the number 7',
    ],
    ['a seed of 33 bits', 'shadow', { seed: 2 ** 32 }, ' seed: expected a whole number'],
  ]
  test.each(refusals)('that says %s is refused', async (_, kind, change, message) => {
    const backend = await createBackend('reference')
    const predictor = somePredictor(backend, kind, {})
    const config = { ...predictor.config, ...change }
    const bytes = encodeSafetensors(predictorTensors(predictor), { [configEntry]: JSON.stringify(config) })
    predictor.dispose()
    writeFileSync(path, bytes)
    await expect(openPredictor(path, backend)).rejects.toThrow(`${configEntry}${message}`)
    expect(backend.liveBuffers).toBe(0)
  })

  test.each<[PredictorKind, PredictorChoices, string]>([
    ['dejavu', { pooling: 'mean' }, 'pooling: expected no choice with a predictor of the kind dejavu'],
    ['shadow', { pooling: 'attention', sourceLayer: 2 }, 'sourceLayer: expected 0 with attention pooling'],
    ['shadow', { sourceLayer: 4 }, 'sourceLayer: expected a whole number from 0 to 3, got the number 4'],
    ['shadow', { top: [0.5] }, 'top: expected no shares with the loss mse'],
    ['dejavu', { top: [0.5, 1] }, 'top.1: expected a share between 0 and 1, got the number 1'],
    ['dejavu-style', { headHidden: 0 }, 'headHidden: expected a whole number from 1'],
  ])('is not made for %s with %o', (kind, chosen, message) => {
    expect(() => makePredictorConfig(kind, subject, chosen)).toThrow(message)
  })

  test('holds the choices, and defaults for the rest', () => {
    for (const kind of predictorKinds)
      expect(makePredictorConfig(kind, subject, { headHidden: 7, neuronHidden: undefined })).toMatchObject({
        kind,
        headHidden: 7,
        neuronHidden: 32,
        criterion: 'plainact',
      })
    expect(makePredictorConfig('shadow', subject, { loss: 'bce' })).toMatchObject({ top: DEFAULT_SHARES })
  })
})
