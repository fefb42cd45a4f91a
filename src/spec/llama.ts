/**
 * The Llama family (Touvron et al. 2023, arXiv 2302.13971 and 2307.09288) with a factor for every unit.
 *
 *   x = token[id]
 *   x = x + out(m_h ⊙ attention(rotate(q(n)), rotate(k(n)), v(n)))     n = rmsNorm(x)
 *   x = x + down(m_f ⊙ silu(gate(n)) ⊙ up(n))                          n = rmsNorm(x)
 *   logits = head(rmsNorm(x))
 *
 * A unit is a query head or a neuron. The heads of a group read one key head, which has a key and a value of every token. A
 * key head is no unit: it is needed while any head of its group is, and skipped with the last of them. A head is K rows of
 * query and of out; a neuron is a row of gate, of up and of down. Nothing but query, key and value has a bias, and these
 * only in Qwen2; so a layer without units leaves the stream as it is.
 *
 * plainact of a neuron has a = silu(gate(n)) ⊙ up(n). Unlike relu, silu is almost never zero: a neuron that is skipped
 * would have added something.
 *
 * Positions are rotations of queries and keys (`src/ops/rotary.ts`); a key is rotated before the cache stores it. Mistral
 * and SmolLM2 differ by sizes alone.
 */
import { rotaryTable, type Rotary } from '../ops/rotary_table.ts'
import { add, attention, embedding, linear, linearInputMajor, maskUnits, rmsNorm } from './arrays.ts'
import { attentionBackward, lossBackward, rmsNormBackward, rotate, rotateBackward } from './arrays.ts'
import { siluGate, siluGateBackward, tensor } from './arrays.ts'
import type { CacheStorage, Matrix, Table, Tensor } from './arrays.ts'
import { allChannels, columnNorms, type Channels, type Site } from './channels.ts'
import { factorsOf } from './model.ts'
import type { Linear, Mask, Model, UnitGradients, UnitOutputs } from './model.ts'

/** The weights of a layer. */
export interface LlamaLayer {
  readonly attentionNorm: Tensor // [D]
  readonly query: Linear // [H K, D]
  readonly key: Linear // [G K, D]
  readonly value: Linear // [G K, D]
  readonly out: Matrix // [H K, D], a row per input
  readonly ffnNorm: Tensor // [D]
  readonly gate: Matrix // [F, D]
  readonly up: Matrix // [F, D]
  readonly down: Matrix // [F, D], a row per input
}

/** A model. */
export interface LlamaModel {
  readonly heads: number // H
  readonly headSize: number // K
  readonly epsilon: number // of every norm
  readonly rotary: Rotary
  readonly cache: CacheStorage // of keys and values
  readonly tokenTable: Table // [V, D]
  readonly layers: readonly LlamaLayer[] // [L]
  readonly finalNorm: Tensor // [D]
  readonly head: Matrix // [V, D], the token table itself in many models
}

/** Everything that a layer computes. */
interface LlamaLayerPass extends UnitOutputs {
  readonly input: Tensor // [T, D]
  readonly query: Tensor // [T, H K], rotated
  readonly key: Tensor // [T, G K], rotated
  readonly value: Tensor // [T, G K]
  readonly middle: Tensor // [T, D], input + attention
  readonly gate: Tensor // [T, F]
  readonly up: Tensor // [T, F]
  readonly output: Tensor // [T, D]
}

/** A text [T] through the model. */
export interface LlamaPass {
  readonly mask: Mask
  readonly layers: readonly LlamaLayerPass[] // [L]
  readonly logits: Tensor // [T, V]
}

/** The model as the method asks for it. */
export function llama(model: LlamaModel): Model {
  return {
    heads: model.heads,
    neurons: model.layers[0].gate.rows,
    forward: (tokens, mask, channels) => {
      const pass = forward(model, tokens, mask, channels)
      return { ...pass, backward: (labels) => backward(model, pass, labels) }
    },
    look: (tokens) => attend(model, 0, embedding(model.tokenTable, tokens)).context,
    norms: (l, site) => norms(model.layers[l], site),
  }
}

/** The norms of the columns that the channels of a site meet: [D], [H K] of out, [F] of down. */
function norms({ query, key, value, out, gate, up, down }: LlamaLayer, site: Site): Float32Array {
  const attention = [query.weight, key.weight, value.weight]
  const matrices = { attention, heads: [out], ffn: [gate, up], activations: [down] }[site]
  return columnNorms(matrices, site === 'heads' || site === 'activations')
}

/** The whole model over tokens [T], under a mask; null computes every unit. */
export function forward(
  model: LlamaModel,
  tokens: Int32Array,
  mask: Mask = null,
  channels: Channels = allChannels,
): LlamaPass {
  const layers: LlamaLayerPass[] = []
  let x = embedding(model.tokenTable, tokens)
  for (const l of model.layers.keys()) {
    layers[l] = runLayer(model, l, x, mask, channels)
    x = layers[l].output
  }
  return { mask, layers, logits: linear(rmsNorm(x, model.finalNorm, model.epsilon), model.head) }
}

/** The first part of a layer, up to the context of its heads. A predictor reads the context of layer 0. */
function attend(model: LlamaModel, l: number, input: Tensor, channels: Channels = allChannels) {
  const { attentionNorm, query, key, value } = model.layers[l]
  const n = channels(l, 'attention', rmsNorm(input, attentionNorm, model.epsilon))
  const [q, k, v] = [query, key, value].map(({ weight, bias }) => linear(n, weight, bias))
  const angles = anglesOf(model, input.shape[0])
  const rotated = { query: rotate(q, angles), key: rotate(k, angles), value: v }
  const context = attention(rotated.query, rotated.key, v, model.heads, model.cache)
  return { input, ...rotated, context }
}

/** Cosines and sines of the positions 0 to T - 1: [T, K]. */
function anglesOf({ rotary, headSize: K }: LlamaModel, T: number): Tensor {
  return tensor(rotaryTable(rotary, T, K), T, K)
}

/** A layer: its heads and its neurons, each times its factor, are added to the stream [T, D]. */
function runLayer(
  model: LlamaModel,
  l: number,
  input: Tensor,
  mask: Mask,
  channels: Channels,
): LlamaLayerPass {
  const { out, ffnNorm, gate, up, down } = model.layers[l]
  const attended = attend(model, l, input, channels)
  const heads = maskUnits(attended.context, factorsOf(mask, 'heads', l))
  const middle = add(input, linearInputMajor(channels(l, 'heads', heads), out))
  const n = channels(l, 'ffn', rmsNorm(middle, ffnNorm, model.epsilon))
  const [gated, through] = [linear(n, gate), linear(n, up)]
  const activation = siluGate(gated, through)
  const neurons = maskUnits(activation, factorsOf(mask, 'neurons', l))
  const output = add(middle, linearInputMajor(channels(l, 'activations', neurons), down))
  return { ...attended, middle, gate: gated, up: through, activation, output }
}

/**
 * The derivatives of the loss in every head and neuron of a pass. They are taken after the mask, so that a skipped unit has
 * the derivative it would have if it were switched on.
 * @param labels [T], the token that follows each position, or -100 where none is scored
 */
export function backward(model: LlamaModel, pass: LlamaPass, labels: Int32Array): UnitGradients[] {
  const { layers, epsilon, finalNorm, head } = model
  const angles = anglesOf(model, labels.length)
  const gradients: UnitGradients[] = []
  let grad = linearInputMajor(lossBackward(pass.logits, labels), head)
  grad = rmsNormBackward(grad, pass.layers[layers.length - 1].output, finalNorm, epsilon)
  for (let l = layers.length - 1; l >= 0; l--) {
    const { attentionNorm, query, key, value, out, ffnNorm, gate, up, down } = layers[l]
    const at = pass.layers[l]
    // The feed-forward half.
    const activation = linear(grad, down)
    const neurons = maskUnits(activation, factorsOf(pass.mask, 'neurons', l))
    const [gateGrad, upGrad] = siluGateBackward(neurons, at.gate, at.up)
    const ffnInput = add(linearInputMajor(gateGrad, gate), linearInputMajor(upGrad, up))
    grad = add(grad, rmsNormBackward(ffnInput, at.middle, ffnNorm, epsilon))
    // The attention half.
    const context = linear(grad, out)
    const heads = maskUnits(context, factorsOf(pass.mask, 'heads', l))
    const [qGrad, kGrad, vGrad] = attentionBackward(heads, at.query, at.key, at.value, model.heads)
    const q = linearInputMajor(rotateBackward(qGrad, angles), query.weight)
    const k = linearInputMajor(rotateBackward(kGrad, angles), key.weight)
    const input = add(add(q, k), linearInputMajor(vGrad, value.weight))
    grad = add(grad, rmsNormBackward(input, at.input, attentionNorm, epsilon))
    gradients[l] = { context, activation, preActivation: gateGrad }
  }
  return gradients
}
