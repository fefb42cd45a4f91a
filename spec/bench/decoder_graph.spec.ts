/**
 * The ONNX decoder of the bench of peers, as far as it can be judged without running it: it is a graph, it uses every
 * parameter of the model once, and its file of weights holds them where the graph says. That it computes what the model
 * computes is checked by the bench, each time before it measures.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decoderGraph, type DecoderGraph } from '../../bench/peers/decoder_graph.ts'
import { shapeByName, shapes } from '../../bench/peers/models.ts'
import { weightsFile } from '../../bench/peers/weights_file.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'

const config: fc.Arbitrary<ModelConfig> = fc
  .record({
    layers: fc.integer({ min: 1, max: 3 }),
    width: fc.constantFrom(4, 6),
    heads: fc.constantFrom(1, 2),
    neurons: fc.integer({ min: 1, max: 5 }),
    vocabulary: fc.integer({ min: 1, max: 7 }),
    positions: fc.integer({ min: 1, max: 5 }),
    embeddingWidth: fc.constantFrom(3, 4, 6),
    preNorm: fc.boolean(),
    finalNorm: fc.boolean(),
    tied: fc.boolean(),
  })
  .map(makeConfig)

type Build = (config: ModelConfig) => DecoderGraph

/** Values are made once and before they are used, all that is given is used, and what is asked for is made. */
const isAGraph = lawForAll(
  'the decoder is a valid graph: values are defined once, before their use',
  { config },
  (build: Build, { config }) => {
    const { model } = build(config)
    const given = [...model.inputs, ...model.parameters].map(({ name }) => name)
    const known = new Set(given)
    const used = new Set<string>()
    let made = given.length
    for (const { inputs, outputs } of model.nodes) {
      for (const name of inputs.filter((name) => name !== '')) {
        if (!known.has(name)) return false
        used.add(name)
      }
      for (const name of outputs.filter((name) => name !== '')) {
        known.add(name)
        made++
      }
    }
    return (
      known.size === made && // none twice
      model.outputs.every(({ name }) => known.has(name)) &&
      given.every((name) => used.has(name))
    )
  },
)
stateLaw(isAGraph, decoderGraph)

/** Every parameter has one place; a tied token table has two, as a table and, turned, as the lm_head. */
const usesEveryParameter = lawForAll(
  'it has every parameter of the model, each once',
  { config },
  (build: Build, { config }) => {
    const { stored } = build(config)
    const shapesOfModel = parameterShapes(config)
    const table = 'model.decoder.embed_tokens.weight'
    const expected = [...shapesOfModel.keys(), ...(config.tied ? [table] : [])]
    expect(stored.map(({ parameter }) => parameter).toSorted()).toEqual(expected.toSorted())
    for (const { tensor, parameter, turned } of stored) {
      const shape = shapesOfModel.get(parameter) ?? []
      expect(tensor.shape).toEqual(turned ? shape.toReversed() : shape)
    }
  },
)
stateLaw(usesEveryParameter, decoderGraph)

/** What the graph names is in the file, turned where it says so. */
const fileHoldsThem = lawForAll(
  'the file of weights holds what the graph names',
  { config },
  async (write: typeof weightsFile, { config }) => {
    const { stored, bytes } = decoderGraph(config)
    const tensors = initialWeights(config, { seed: 1, biasDeviation: 1 })
    const file = new Uint8Array(bytes)
    let end = 0
    for await (const part of write(stored, memorySource(tensors))) {
      file.set(part, end)
      end += part.length
    }
    expect(end).toBeLessThanOrEqual(bytes)
    for (const { tensor, parameter, turned } of stored) {
      expect(tensor.offset % 4096).toBe(0)
      const read = new Float32Array(file.slice(tensor.offset, tensor.offset + tensor.length).buffer)
      const { shape, values } = tensors.get(parameter) ?? { shape: [], values: new Float32Array(0) }
      const [O, I] = shape
      const expected = turned ? values.map((_, i) => values[(i % O) * I + Math.floor(i / O)]) : values
      expect(read).toEqual(expected)
    }
  },
  { runs: 20 },
)
stateLaw(fileHoldsThem, weightsFile)

test('caches are inputs and outputs of every layer', () => {
  const { model } = decoderGraph(shapeByName('opt-125m', 2))
  expect(model.inputs.slice(2).map(({ name, shape }) => [name, ...shape])).toEqual([
    ['past.0.key', 1, 12, 'P', 64],
    ['past.0.value', 1, 12, 'P', 64],
    ['past.1.key', 1, 12, 'P', 64],
    ['past.1.value', 1, 12, 'P', 64],
  ])
  expect(model.outputs[0]).toEqual({ name: 'logits', type: 'float32', shape: [1, 50272] })
  expect(model.outputs.slice(1).map(({ name, shape }) => [name, ...shape])).toEqual([
    ['present.0.key', 1, 12, 'S', 64],
    ['present.0.value', 1, 12, 'S', 64],
    ['present.1.key', 1, 12, 'S', 64],
    ['present.1.value', 1, 12, 'S', 64],
  ])
})

test('shapes of OPT have its sizes, and one may have fewer layers', () => {
  const [small, medium, large] = shapes.map((name) => shapeByName(name))
  expect(small).toMatchObject({ layers: 12, width: 768, neurons: 3072, positions: 2048, preNorm: true })
  expect(medium).toMatchObject({ layers: 24, width: 1024, embeddingWidth: 512, preNorm: false })
  expect(large).toMatchObject({ layers: 24, width: 2048, heads: 32, headSize: 64, finalNorm: true })
  expect(shapeByName('opt-1.3b', 4)).toEqual({ ...large, layers: 4 })
  expect(() => shapeByName('opt-125m', 13)).toThrow('--layers: expected at most 12 of opt-125m, got 13')
})

const nodesChanged =
  (change: (nodes: DecoderGraph['model']['nodes']) => DecoderGraph['model']['nodes']): Build =>
  (config) => {
    const graph = decoderGraph(config)
    return { ...graph, model: { ...graph.model, nodes: change(graph.model.nodes) } }
  }

type Stored = Parameters<typeof weightsFile>[0]

killsEach('a graph with %s: killed', isAGraph, {
  'nodes in another order': nodesChanged((nodes) => nodes.toReversed()),
  'a node left out': nodesChanged((nodes) => nodes.slice(1)),
  'a node twice': nodesChanged((nodes) => [...nodes, nodes[0]]),
  'one layer for all': (config) => ({
    ...decoderGraph(config),
    model: { ...decoderGraph(config).model, nodes: decoderGraph({ ...config, layers: 1 }).model.nodes },
  }),
})

killsEach('a graph with %s: killed', usesEveryParameter, {
  'a layer less': (config) => decoderGraph({ ...config, layers: Math.max(1, config.layers - 1) }),
  'a head of its own': (config) => decoderGraph({ ...config, tied: false }),
  'no last norm': (config) => decoderGraph({ ...config, finalNorm: false }),
})

killsEach(
  'a file of weights with %s: killed',
  lawOf(
    fileHoldsThem,
    (change: (stored: Stored) => Stored) => (stored, source) => weightsFile(change(stored), source),
  ),
  {
    'nothing turned': (stored) => stored.map((one) => ({ ...one, turned: false })),
    'no gaps': (stored) => stored.map((one) => ({ ...one, tensor: { ...one.tensor, offset: 0 } })),
  },
)
