/**
 * Laws of masks (design laws 1 and 2, and 4 for neurons): what skipping a unit means. That every way of carrying out a mask
 * gives the bits of the specification is a law of engine_laws.ts.
 */
import { anyData } from '../drawn_data.ts'
import fc from 'fast-check'
import type { ModelConfig } from '../../engine/config.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { storageNamed, type Storage } from '../../engine/storages/index.ts'
import { moduleName, neuronMakers } from './modules.ts'
import { layerMask } from '../../engine/unit_lists.ts'
import { keyHeadOf } from '../../ops/attention.ts'
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import type { SequenceOptions } from '../../engine/sequence.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { near, sameBits, sameNumbers } from '../compare.ts'
import {
  withLoaded,
  configOf,
  feedOnce,
  forAll,
  maskOf as seededMaskOf,
  roomyModel,
  tensorsOf,
  tokensOf,
  withModel,
  type ModelCase,
  type Subject,
} from './cases.ts'
import {
  anyCache,
  anyMask,
  anyStorage,
  cuts,
  engineCase,
  feedInParts,
  made,
  maskOf,
  type EngineCase,
} from './engine_cases.ts'

type Tensors = ReadonlyMap<string, HostTensor>

/** A copy of the weights, to be changed. */
function copyOf(tensors: Tensors): Map<string, HostTensor> {
  return new Map([...tensors].map(([name, { shape, values }]) => [name, { shape, values: values.slice() }]))
}

/** Overwrites columns, or rows and their biases, of a weight [O, I], as Hugging Face stores it. */
function fill(
  tensors: Map<string, HostTensor>,
  name: string,
  axis: 'rows' | 'columns',
  from: number,
  to: number,
  value: number,
): void {
  const { shape, values } = tensors.get(`${name}.weight`) as HostTensor
  const [O, I] = shape
  if (axis === 'columns') for (let row = 0; row < O; row++) values.fill(value, row * I + from, row * I + to)
  else {
    values.fill(value, from * I, to * I)
    tensors.get(`${name}.bias`)?.values.fill(value, from, to)
  }
}

/** Calls back for every unit that a mask skips. */
function eachSkipped(
  mask: UnitMask,
  onHead: (layer: number, head: number) => void,
  onNeuron: (layer: number, neuron: number) => void,
): void {
  for (let layer = 0; layer < mask.shape.layers; layer++) {
    const { heads, neurons } = layerMask(mask, layer)
    heads.forEach((value, head) => value === 0 && onHead(layer, head))
    neurons.forEach((value, neuron) => value === 0 && onNeuron(layer, neuron))
  }
}

/**
 * The same weights with what skipped units hand on set to zero: columns of out_proj and fc2. In blocks, columns of other units
 * share their scales, so that there the rows of fc1 are, which makes activations zero; heads have no such rows.
 */
function zeroed(
  tensors: Tensors,
  config: ModelConfig,
  mask: UnitMask,
  storage: Storage,
): Map<string, HostTensor> {
  const { headSize: K } = config
  const changed = copyOf(tensors)
  const [module, axis] =
    storageNamed(storage).block > 1 ? (['fc1', 'rows'] as const) : (['fc2', 'columns'] as const)
  eachSkipped(
    mask,
    (layer, head) => fill(changed, moduleName(config, layer, 'out'), 'columns', head * K, (head + 1) * K, 0),
    (layer, neuron) => fill(changed, moduleName(config, layer, module), axis, neuron, neuron + 1, 0),
  )
  return changed
}

/** The same weights with NaN in all that belong to a skipped unit. */
function poisoned(tensors: Tensors, config: ModelConfig, mask: UnitMask): Map<string, HostTensor> {
  const { headSize: K, heads: H, keyHeads: G } = config
  const changed = copyOf(tensors)
  /** Whether rows of all these heads are needed for a norm over them. */
  const isNormedWhole = (heads: number): boolean => config.normsAllHeads === true && heads > 1
  eachSkipped(
    mask,
    (layer, head) => {
      if (!isNormedWhole(H))
        fill(changed, moduleName(config, layer, 'query'), 'rows', head * K, (head + 1) * K, NaN)
      const g = keyHeadOf(null, head, G, H)
      const { heads } = layerMask(mask, layer)
      // A key head is needed while any head of its group is.
      if (heads.every((kept, h) => kept === 0 || keyHeadOf(null, h, G, H) !== g))
        for (const module of isNormedWhole(G) ? (['value'] as const) : (['key', 'value'] as const))
          fill(changed, moduleName(config, layer, module), 'rows', g * K, (g + 1) * K, NaN)
      fill(changed, moduleName(config, layer, 'out'), 'columns', head * K, (head + 1) * K, NaN)
    },
    (layer, neuron) => {
      for (const name of neuronMakers(config, layer)) fill(changed, name, 'rows', neuron, neuron + 1, NaN)
      fill(changed, moduleName(config, layer, 'fc2'), 'columns', neuron, neuron + 1, NaN)
    },
  )
  return changed
}

/** NaN in the weights of the units that a mask skips changes no bit of a text. @throws Error if it does */
export async function poisonIsUnseen(
  subject: Subject,
  drawn: EngineCase,
  mask: UnitMask,
  parts: readonly number[],
  options: SequenceOptions,
): Promise<void> {
  const { config, tensors, tokens } = made(drawn)
  const run = (weights: Tensors): Promise<Float32Array> =>
    withLoaded(subject, config, weights, { allowNonFinite: true }, (model) =>
      feedInParts(model, tokens, parts, options),
    )
  const clean = await run(tensors)
  if (clean.some((value) => !Number.isFinite(value))) throw new Error('a finite model gave NaN')
  sameBits('poisoned', await run(poisoned(tensors, config, mask)), clean)
}

export const maskLaws = {
  maskedIsZeroed: forAll(
    "skipped = simulated = dense with those units' weights zeroed, as numbers, for any mask (of neurons where inputs are stored in blocks), in every storage",
    { drawn: engineCase, skip: anyMask, storage: anyStorage, cache: anyCache },
    async (subject, { drawn, skip, storage, cache }) => {
      const { config, tensors, tokens } = made(drawn)
      const mask = maskOf(drawn, storageNamed(storage).block > 1 ? { ...skip, heads: [] } : skip)
      const others = zeroed(tensors, config, mask, storage)
      const expected = await withLoaded(subject, config, others, { storage }, (dense) =>
        feedOnce(dense, tokens, { cache }),
      )
      await withLoaded(subject, config, tensors, { storage }, (model) => {
        for (const mode of ['skip', 'simulate'] as const)
          sameNumbers(mode, feedOnce(model, tokens, { mask, mode, cache }), expected)
      })
    },
  ),

  skippedCannotMatter: forAll(
    'NaN in the weights of skipped units, and so in their keys and values, changes no bit',
    { drawn: engineCase, skip: anyMask, cache: anyCache, mode: fc.constantFrom('skip', 'pack'), parts: cuts },
    async (subject, { drawn, skip, cache, mode, parts }) => {
      const mask = maskOf(drawn, skip)
      await poisonIsUnseen(subject, drawn, mask, parts, { mask, mode, cache })
    },
  ),

  neuronOrder: forAll(
    'permuting neurons, their masks with them, changes logits by rounding only: fc2 adds in another order',
    { model: roomyModel, data: anyData },
    async (subject, { model, data }) => {
      const tokens = tokensOf(model, data)
      const mask = seededMaskOf(model, data)
      const order = data.order('order', model.neurons)
      const { tensors, permuted } = permuteNeurons(model, mask, order)
      const expected = await withModel(subject, model, (loaded) => feedOnce(loaded, tokens, { mask }))
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const run = (loaded: LanguageModel): Float32Array => feedOnce(loaded, tokens, { mask: permuted })
      near('logits', await withModel(subject, model, run, tensors), expected, 1e-4 * largest)
    },
  ),
}

/** Neuron j of the result is neuron order[j] of the model, in every layer. */
function permuteNeurons(
  model: ModelCase,
  mask: UnitMask,
  order: Int32Array,
): { tensors: Map<string, HostTensor>; permuted: UnitMask } {
  const tensors = tensorsOf(model)
  const config = configOf(model)
  const { width: D } = config
  const F = model.neurons
  const neurons = mask.neurons.slice()
  for (let layer = 0; layer < model.layers; layer++) {
    // Each is turned from what it was: a row of D, a bias, or a column.
    const permute = (name: string, place: (d: number, j: number) => number, size: number): void => {
      const values = tensors.get(name)?.values
      const before = values?.slice()
      if (!values || !before) return
      for (const [to, from] of order.entries())
        for (let d = 0; d < size; d++) values[place(d, to)] = before[place(d, from)]
    }
    for (const name of neuronMakers(config, layer)) {
      permute(`${name}.weight`, (d, j) => j * D + d, D)
      permute(`${name}.bias`, (_, j) => j, 1)
    }
    permute(`${moduleName(config, layer, 'fc2')}.weight`, (d, j) => d * F + j, D)
    order.forEach((from, to) => (neurons[layer * F + to] = mask.neurons[layer * F + from]))
  }
  return { tensors, permuted: makeMask(mask.shape, mask.heads, neurons) }
}
