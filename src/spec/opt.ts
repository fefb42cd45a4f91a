/**
 * OPT (Zhang et al. 2022, arXiv 2205.01068) with a factor for every unit.
 *
 *   x = [projectIn] token[id] + position[t + 2]
 *   x = x + out(m_h ⊙ attention(q(n), k(n), v(n)))     n = norm(x)
 *   x = x + fc2(m_f ⊙ relu(fc1(n)))                    n = norm(x)
 *   logits = head([projectOut] norm(x))
 *   loss = −(1 / N) Σ log softmax(logits[t])[label[t]]     over the N tokens t that have a label
 *
 * m_h has one factor per head, m_f one per neuron. The first two rows of the position table are for padding. OPT-350m is
 * post-norm: n = x, each sum is normalised instead, and there is no last norm. It is also the one with projections between
 * the token table and the width of its layers.
 *
 * The released code of ShadowLLM (abdelfattah-lab/shadow_llm at bdc5ad5, modeling_opt.py:365) never applies m_f: the
 * product goes into an attribute for inspection, and the dense activations go on. Its masks of heads are applied.
 */
import { add, attention, embedding, layerNorm, linear, linearInputMajor, maskUnits, relu } from './arrays.ts'
import { attentionBackward, layerNormBackward, lossBackward, reluBackward } from './arrays.ts'
import type { CacheStorage, Matrix, Norm, Table, Tensor } from './arrays.ts'
import { allChannels, columnNorms, type Channels, type Site } from './channels.ts'
import { factorsOf } from './model.ts'
import type { Linear, Mask, Model, UnitGradients, UnitOutputs } from './model.ts'

/** The weights of a layer. A head is K rows of query, key, value and out; a neuron is a row of fc1 and a row of fc2. */
export interface OptLayer {
  readonly attentionNorm: Norm
  readonly query: Linear // [D, D], [D]
  readonly key: Linear
  readonly value: Linear
  readonly out: Linear // [D, D], a row per input; [D]
  readonly ffnNorm: Norm
  readonly fc1: Linear // [F, D], [F]
  readonly fc2: Linear // [F, D], a row per input; [D]
}

/** A model. E is the width of the token table, D in most models. */
export interface OptModel {
  readonly heads: number // H
  readonly preNorm: boolean
  readonly cache: CacheStorage // of keys and values
  readonly tokenTable: Table // [V, E]
  readonly projectIn: Matrix | null // [D, E]
  readonly positionTable: Table // [positions + 2, D]
  readonly layers: readonly OptLayer[] // [L]
  readonly finalNorm: Norm | null
  readonly projectOut: Matrix | null // [E, D]
  readonly head: Matrix // [V, E], the token table itself in most models
}

/** Everything that a layer computes. */
export interface OptLayerPass extends UnitOutputs {
  readonly input: Tensor // [T, D]
  readonly query: Tensor // [T, D]
  readonly key: Tensor
  readonly value: Tensor
  readonly attentionSum: Tensor // [T, D], input + attention
  readonly middle: Tensor // [T, D], what the feed-forward half is added to
  readonly preActivation: Tensor // [T, F]
  readonly ffnSum: Tensor // [T, D], middle + feed-forward
  readonly output: Tensor // [T, D]
}

/** A text [T] through the model. */
export interface OptPass {
  readonly mask: Mask
  readonly layers: readonly OptLayerPass[] // [L]
  readonly logits: Tensor // [T, V]
}

/** The model as the method asks for it. */
export function opt(model: OptModel): Model {
  return {
    heads: model.heads,
    neurons: model.layers[0].fc1.weight.rows,
    forward: (tokens, mask, channels) => {
      const pass = forward(model, tokens, mask, channels)
      return { ...pass, backward: (labels) => backward(model, pass, labels) }
    },
    look: (tokens) => attend(model, 0, embed(model, tokens)).context,
    norms: (l, site) => norms(model.layers[l], site),
  }
}

/** The norms of the columns that the channels of a site meet: [D], or [F] of fc2. */
function norms({ query, key, value, out, fc1, fc2 }: OptLayer, site: Site): Float32Array {
  const matrices = { attention: [query, key, value], heads: [out], ffn: [fc1], activations: [fc2] }[site]
  const isTurned = site === 'heads' || site === 'activations'
  return columnNorms(
    matrices.map(({ weight }) => weight),
    isTurned,
  )
}

/** The whole model over tokens [T], under a mask; null computes every unit. */
export function forward(
  model: OptModel,
  tokens: Int32Array,
  mask: Mask = null,
  channels: Channels = allChannels,
): OptPass {
  const layers: OptLayerPass[] = []
  let x = embed(model, tokens)
  for (const l of model.layers.keys()) {
    layers[l] = runLayer(model, l, x, mask, channels)
    x = layers[l].output
  }
  return { mask, layers, logits: logitsOf(model, x) }
}

/** Tokens [T] and their positions: [T, D]. */
export function embed({ tokenTable, projectIn, positionTable }: OptModel, tokens: Int32Array): Tensor {
  const token = embedding(tokenTable, tokens)
  const rows = tokens.map((_, t) => t + 2)
  return add(projectIn ? linear(token, projectIn) : token, embedding(positionTable, rows))
}

/** The first part of a layer, up to the context of its heads. A predictor reads the context of layer 0. */
export function attend(model: OptModel, l: number, input: Tensor, channels: Channels = allChannels) {
  const { attentionNorm, query, key, value } = model.layers[l]
  const n = channels(l, 'attention', model.preNorm ? layerNorm(input, attentionNorm) : input)
  const [q, k, v] = [query, key, value].map(({ weight, bias }) => linear(n, weight, bias))
  return { input, query: q, key: k, value: v, context: attention(q, k, v, model.heads, model.cache) }
}

/** A layer: its heads and its neurons, each times its factor, are added to the stream [T, D]. */
function runLayer(model: OptModel, l: number, input: Tensor, mask: Mask, channels: Channels): OptLayerPass {
  const { preNorm, layers } = model
  const { attentionNorm, out, ffnNorm, fc1, fc2 } = layers[l]
  const attended = attend(model, l, input, channels)
  const heads = maskUnits(attended.context, factorsOf(mask, 'heads', l))
  const attentionSum = add(input, linearInputMajor(channels(l, 'heads', heads), out.weight, out.bias))
  const middle = preNorm ? attentionSum : layerNorm(attentionSum, attentionNorm)
  const n = channels(l, 'ffn', preNorm ? layerNorm(middle, ffnNorm) : middle)
  const preActivation = linear(n, fc1.weight, fc1.bias)
  const activation = relu(preActivation)
  const neurons = maskUnits(activation, factorsOf(mask, 'neurons', l))
  const read = channels(l, 'activations', neurons)
  const ffnSum = add(middle, linearInputMajor(read, fc2.weight, fc2.bias))
  const output = preNorm ? ffnSum : layerNorm(ffnSum, ffnNorm)
  return { ...attended, attentionSum, middle, preActivation, activation, ffnSum, output }
}

/** From the stream [T, D] to the logits [T, V]. */
function logitsOf({ finalNorm, projectOut, head }: OptModel, x: Tensor): Tensor {
  const normed = finalNorm ? layerNorm(x, finalNorm) : x
  return linear(projectOut ? linear(normed, projectOut) : normed, head)
}

/**
 * The derivatives of the loss in every head and neuron of a pass. They are taken after the mask, so that a skipped unit has
 * the derivative it would have if it were switched on. `linear` and `linearInputMajor` are the gradients of each other.
 * @param labels [T], the token that follows each position, or -100 where none is scored
 */
export function backward(model: OptModel, pass: OptPass, labels: Int32Array): UnitGradients[] {
  const { layers, preNorm, finalNorm, projectOut, head } = model
  const gradients: UnitGradients[] = []
  let grad = linearInputMajor(lossBackward(pass.logits, labels), head)
  if (projectOut) grad = linearInputMajor(grad, projectOut)
  if (finalNorm) grad = layerNormBackward(grad, pass.layers[layers.length - 1].output, finalNorm)
  for (let l = layers.length - 1; l >= 0; l--) {
    const { attentionNorm, query, key, value, out, ffnNorm, fc1, fc2 } = layers[l]
    const at = pass.layers[l]
    // The feed-forward half.
    if (!preNorm) grad = layerNormBackward(grad, at.ffnSum, ffnNorm)
    const activation = linear(grad, fc2.weight)
    const neurons = maskUnits(activation, factorsOf(pass.mask, 'neurons', l))
    const preActivation = reluBackward(neurons, at.preActivation)
    const ffnInput = linearInputMajor(preActivation, fc1.weight)
    grad = add(grad, preNorm ? layerNormBackward(ffnInput, at.middle, ffnNorm) : ffnInput)
    // The attention half.
    if (!preNorm) grad = layerNormBackward(grad, at.attentionSum, attentionNorm)
    const context = linear(grad, out.weight)
    const heads = maskUnits(context, factorsOf(pass.mask, 'heads', l))
    const intoHeads = attentionBackward(heads, at.query, at.key, at.value, model.heads)
    const [q, k, v] = [query, key, value].map(({ weight }, i) => linearInputMajor(intoHeads[i], weight))
    const input = add(add(q, k), v)
    grad = add(grad, preNorm ? layerNormBackward(input, at.input, attentionNorm) : input)
    gradients[l] = { context, preActivation, activation }
  }
  return gradients
}
