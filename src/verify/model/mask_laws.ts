/**
 * Laws of masks (design laws 1 and 2, and 4 for neurons): what skipping a unit means.
 */
import fc from 'fast-check'
import { maskModes, type MaskMode } from '../../engine/active_block.ts'
import { layerMask } from '../../engine/unit_lists.ts'
import { denseMask, makeMask, type UnitMask } from '../../masks/mask.ts'
import { moduleName } from '../../engine/names.ts'
import { traceForward } from '../../engine/trace.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { near, sameBits, sameNumbers } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import {
  anyModel,
  anySequence,
  configOf,
  feedOnce,
  forAll,
  maskOf,
  roomyModel,
  tensorsOf,
  tokensOf,
  withModel,
  type ModelCase,
} from './cases.ts'

type Tensors = Map<string, HostTensor>

/** Overwrites columns of a weight [O, I], as Hugging Face stores it. */
function fillColumns(tensors: Tensors, name: string, from: number, to: number, value: number): void {
  const { shape, values } = tensors.get(`${name}.weight`) as HostTensor
  for (let row = 0; row < shape[0]; row++) values.fill(value, row * shape[1] + from, row * shape[1] + to)
}

/** Overwrites rows of a weight [O, I] and their biases. */
function fillRows(tensors: Tensors, name: string, from: number, to: number, value: number): void {
  const { shape, values } = tensors.get(`${name}.weight`) as HostTensor
  values.fill(value, from * shape[1], to * shape[1])
  tensors.get(`${name}.bias`)?.values.fill(value, from, to)
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

/** The same model with what skipped units hand on set to zero: columns of out_proj and fc2. */
export function zeroed(model: ModelCase, mask: UnitMask): Tensors {
  const tensors = tensorsOf(model)
  const K = model.headSize
  eachSkipped(
    mask,
    (layer, head) => fillColumns(tensors, moduleName(layer, 'out'), head * K, (head + 1) * K, 0),
    (layer, neuron) => fillColumns(tensors, moduleName(layer, 'fc2'), neuron, neuron + 1, 0),
  )
  return tensors
}

/** The same model with NaN in every weight that belongs to a skipped unit. */
export function poisoned(model: ModelCase, mask: UnitMask): Tensors {
  const tensors = tensorsOf(model)
  const K = model.headSize
  eachSkipped(
    mask,
    (layer, head) => {
      for (const module of ['query', 'key', 'value'] as const)
        fillRows(tensors, moduleName(layer, module), head * K, (head + 1) * K, NaN)
      fillColumns(tensors, moduleName(layer, 'out'), head * K, (head + 1) * K, NaN)
    },
    (layer, neuron) => {
      fillRows(tensors, moduleName(layer, 'fc1'), neuron, neuron + 1, NaN)
      fillColumns(tensors, moduleName(layer, 'fc2'), neuron, neuron + 1, NaN)
    },
  )
  return tensors
}

/** The prompt, then one token at a time. */
export function promptAndSteps(
  model: Parameters<typeof feedOnce>[0],
  tokens: Int32Array,
  prompt: number,
  options: Parameters<typeof feedOnce>[2],
): Float32Array {
  const { vocabulary: V } = model.config
  const logits = new Float32Array(tokens.length * V)
  const sequence = model.begin(options)
  try {
    logits.set(sequence.feed(tokens.slice(0, prompt), 'all'))
    for (let t = prompt; t < tokens.length; t++) logits.set(sequence.feed(tokens.slice(t, t + 1)), t * V)
    return logits
  } finally {
    sequence.dispose()
  }
}

export const maskLaws = {
  maskedIsZeroed: forAll(
    "skipped = simulated = dense with those units' weights zeroed, as numbers, for any mask",
    [anySequence],
    async (subject, model) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const mask = maskOf(model, data)
      let expected = new Float32Array(0)
      await withModel(
        subject,
        model,
        (dense) => void (expected = feedOnce(dense, tokens).slice()),
        zeroed(model, mask),
      )
      await withModel(subject, model, (loaded) => {
        sameNumbers('skipped', feedOnce(loaded, tokens, { mask, mode: 'skip' }), expected)
        sameNumbers('simulated', feedOnce(loaded, tokens, { mask, mode: 'simulate' }), expected)
      })
    },
  ),

  packedIsSkipped: forAll(
    'packed = skipped, bit for bit, for a prompt and for steps after it; what is chosen by cost = both, as numbers',
    [anySequence, fc.nat({ max: 500 })],
    (subject, model, expectedTokens) =>
      withModel(subject, model, (loaded) => {
        const data = new Data(model.seed)
        const tokens = tokensOf(model, data)
        const prompt = data.integer(1, tokens.length)
        const mask = maskOf(model, data)
        const run = (mode: MaskMode): Float32Array =>
          promptAndSteps(loaded, tokens, prompt, { mask, mode, expectedTokens })
        const skipped = run('skip')
        sameBits('packed', run('pack'), skipped)
        sameNumbers('auto', run('auto'), skipped)
      }),
  ),

  onesAreDense: forAll(
    'a mask of ones = dense, bit for bit, in every mode',
    [anySequence],
    (subject, model) =>
      withModel(subject, model, (loaded) => {
        const tokens = tokensOf(model, new Data(model.seed))
        const dense = feedOnce(loaded, tokens)
        for (const mode of maskModes)
          sameBits(mode, feedOnce(loaded, tokens, { mask: denseMask(loaded.shape), mode }), dense)
      }),
  ),

  skippedCannotMatter: forAll(
    'NaN in the weights of skipped units, and so in their keys and values, changes no bit',
    [anySequence],
    async (subject, model) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const mask = maskOf(model, data)
      const prompt = data.integer(1, tokens.length)
      const mode = data.pick(['skip', 'pack'] as const)
      const run = (loaded: Parameters<typeof feedOnce>[0]): Float32Array =>
        promptAndSteps(loaded, tokens, prompt, { mask, mode })
      let clean = new Float32Array(0)
      await withModel(subject, model, (loaded) => void (clean = run(loaded).slice()))
      if (clean.some((value) => !Number.isFinite(value))) throw new Error('a finite model gave NaN')
      await withModel(
        subject,
        model,
        (loaded) => sameBits('poisoned', run(loaded), clean),
        poisoned(model, mask),
      )
    },
  ),

  noHeadsIsBias: forAll(
    'a layer without heads adds exactly the bias of out_proj to the stream',
    [anyModel],
    (subject, model) =>
      withModel(subject, { ...model, preNorm: true }, (loaded) => {
        const tokens = tokensOf(model, new Data(model.seed))
        const { layers, heads, neurons } = loaded.shape
        const mask = makeMask(
          loaded.shape,
          new Float32Array(layers * heads),
          new Float32Array(layers * neurons).fill(1),
        )
        const trace = traceForward(loaded, tokens, { mask })
        const { backend } = loaded
        trace.blocks.forEach(({ buffers }, layer) => {
          const bias = backend.readF32(loaded.weights.blocks[layer].out.bias)
          const input = backend.readF32(buffers.input)
          const expected = input.map((value, i) => Math.fround(value + bias[i % bias.length]))
          sameNumbers(`middle of block ${layer}`, backend.readF32(buffers.middle), expected)
        })
        sameNumbers('skipped', feedOnce(loaded, tokens, { mask, mode: 'skip' }), trace.logits())
        trace.dispose()
      }),
  ),

  neuronOrder: forAll(
    'permuting neurons, their masks with them, changes logits by rounding only: fc2 adds in another order',
    [roomyModel],
    async (subject, model) => {
      const data = new Data(model.seed)
      const tokens = tokensOf(model, data)
      const mask = maskOf(model, data)
      const order = data.permutation(model.neurons)
      const { tensors, permuted } = permuteNeurons(model, mask, order)
      let expected = new Float32Array(0)
      await withModel(
        subject,
        model,
        (loaded) => void (expected = feedOnce(loaded, tokens, { mask }).slice()),
      )
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      await withModel(
        subject,
        model,
        (loaded) => near('logits', feedOnce(loaded, tokens, { mask: permuted }), expected, 1e-4 * largest),
        tensors,
      )
    },
  ),
}

/** Neuron j of the result is neuron order[j] of the model, in every layer. */
function permuteNeurons(
  model: ModelCase,
  mask: UnitMask,
  order: Int32Array,
): { tensors: Tensors; permuted: UnitMask } {
  const tensors = tensorsOf(model)
  const { width: D } = configOf(model)
  const F = model.neurons
  const neurons = mask.neurons.slice()
  for (let layer = 0; layer < model.layers; layer++) {
    const of = (name: string): Float32Array => (tensors.get(name) as HostTensor).values
    const [fc1, fc2] = [moduleName(layer, 'fc1'), moduleName(layer, 'fc2')]
    const [w1, b1, w2] = [of(`${fc1}.weight`).slice(), of(`${fc1}.bias`).slice(), of(`${fc2}.weight`).slice()]
    order.forEach((from, to) => {
      of(`${fc1}.weight`).set(w1.subarray(from * D, (from + 1) * D), to * D)
      of(`${fc1}.bias`)[to] = b1[from]
      for (let d = 0; d < D; d++) of(`${fc2}.weight`)[d * F + to] = w2[d * F + from]
      neurons[layer * F + to] = mask.neurons[layer * F + from]
    })
  }
  return { tensors, permuted: makeMask(mask.shape, mask.heads, neurons) }
}
