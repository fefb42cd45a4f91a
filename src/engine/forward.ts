/**
 * The forward pass of a decoder in ops of the catalogue, for OPT and the Llama family (src/spec defines both). Every caller
 * runs these functions: a whole prompt, one cached token, a trace for the backward pass.
 *
 *   x = tokens [projected in] [+ positions]
 *   pre-norm block:   x += out(attention(norm x));   x += fc2(act(norm x))
 *   post-norm block:  x = norm(x + out(attention x)); x = norm(x + fc2(act x))
 *   logits = head([project out] [norm] x)
 *
 * act is relu(fc1 n), or silu(fc1 n) times up n. Queries and keys are rotated where positions have no table.
 *
 * A block is three steps, `attend`, `project`, `feedForward`, because a planner decides after the first `attend`. Units
 * that are skipped are left out of every op that touches them; with all heads skipped `project` adds the bias alone.
 * Buffers come from the caller: the same ones for each layer, or fresh ones that are kept.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import type { ChannelSite } from '../masks/channels.ts'
import type { ActiveBlock } from './active_block.ts'
import type { ModelConfig } from './config.ts'
import type { LayerCache } from './layer_cache.ts'
import type { Affine, ModelWeights } from './weights.ts'

/** What every step of one pass shares. */
export interface Pass {
  readonly backend: Backend
  readonly config: ModelConfig
  /** New tokens. */
  readonly T: number
  /** Tokens already in the cache. */
  readonly past: number
  /** Cosines and sines of the new tokens' positions; null for a model with a position table. */
  readonly angles: Buffer | null // [T, K]
}

/**
 * Where a block's values go. Handles may be shared where a step allows it: post-norm branches read the stream itself,
 * sums may replace their first term, ReLU and masks may work in place.
 */
export interface BlockBuffers {
  readonly input: Buffer // [T, D] the stream entering the block
  readonly attentionInput: Buffer // [T, D] what q, k, v read
  readonly query: Buffer // [T, H K] of the heads the block holds, side by side
  readonly key: Buffer // [T, G K] of the key heads it holds
  readonly value: Buffer // [T, G K]
  readonly context: Buffer // [T, H K] softmax(q k) v, before any mask
  readonly maskedContext: Buffer // [T, H K] what out_proj reads
  readonly branch: Buffer // [T, D] output of out_proj, then of fc2
  readonly attentionSum: Buffer // [T, D] stream + attention
  readonly middle: Buffer // [T, D] the stream between the halves
  readonly ffnInput: Buffer // [T, D] what fc1 reads
  readonly preActivation: Buffer // [T, F] output of fc1, of the neurons the block holds
  readonly up: Buffer | null // [T, F] what the gate lets through, of a gated block
  readonly activation: Buffer // [T, F] before any mask
  readonly maskedActivation: Buffer // [T, F] what fc2 reads
  readonly ffnSum: Buffer // [T, D] stream + feed-forward
  readonly output: Buffer // [T, D] the stream leaving the block
}

/** What attention scores are scaled by. */
export function attentionScale(config: ModelConfig): number {
  return config.headSize ** -0.5
}

function norm({ backend, config }: Pass, y: Buffer, x: Buffer, { weight, bias }: Affine): void {
  if (bias) backend.ops.layer_norm(y, x, weight, bias, config.epsilon)
  else backend.ops.rms_norm(y, x, weight, config.epsilon)
}

/** Where the embedding works; `embedded` is only there when the token table has a width of its own. */
export interface EmbeddingBuffers {
  readonly embedded: Buffer | null // [T, E]
  readonly position: Buffer // [T, D], scratch
  readonly output: Buffer // [T, D]
}

/** Tokens, and their positions where these have a table, become the stream. */
export function embed(
  pass: Pass,
  weights: ModelWeights,
  tokens: Buffer, // [T] i32
  positions: Buffer | null, // [T] i32, rows of the position table
  buffers: EmbeddingBuffers,
): void {
  const { ops } = pass.backend
  const { embedded, position, output } = buffers
  if (embedded && weights.projectIn) {
    ops.embedding(embedded, weights.tokenTable, tokens)
    ops.linear(output, embedded, weights.projectIn, null, null)
  } else ops.embedding(output, weights.tokenTable, tokens)
  if (!weights.positionTable || !positions) return
  ops.embedding(position, weights.positionTable, positions)
  ops.add(output, output, position)
}

/**
 * Asked at each site of a block what its matrices are to read of x, [T, C].
 * @returns what channels are multiplied by, [C]; null leaves x as it is
 */
export type ChooseChannels = (site: ChannelSite, x: Buffer) => Buffer | null

/** What the matrices of a site read: x, or in y its channels times their factors. */
function readBy(
  { backend }: Pass,
  site: ChannelSite,
  y: Buffer,
  x: Buffer,
  choose: ChooseChannels | null,
): Buffer {
  const factors = choose && choose(site, x)
  if (!factors) return x
  backend.ops.mask_units(y, x, factors)
  return y
}

/**
 * First step of a block: from the stream to the heads' outputs. Nothing happens where all heads are left out by packing.
 *
 * Keys and values enter the cache for the key heads of the chosen heads, or for all where `everyKey` asks for it (a
 * planner that may choose other heads later must not find holes).
 */
export function attend(
  pass: Pass,
  { weights, units, heads: held, keyHeadOf }: ActiveBlock,
  cache: LayerCache,
  b: BlockBuffers,
  everyKey: boolean,
  channelsOf: ChooseChannels | null = null,
): void {
  if (held === 0) return
  const { backend, config, T, past, angles } = pass
  const { ops } = backend
  const { query, key, value } = weights
  const { heads, channels } = units
  if (config.preNorm) norm(pass, b.attentionInput, b.input, weights.attentionNorm)
  // Nothing is in the branch yet. The input may be the stream itself, which stays as it is.
  const x = readBy(pass, 'attention', b.branch, b.attentionInput, channelsOf)
  const stored = everyKey ? null : units.keyHeads
  const storedChannels = everyKey ? null : units.keyChannels
  ops.linear(b.query, x, query.weight, query.bias, channels)
  ops.linear(b.key, x, key.weight, key.bias, storedChannels)
  ops.linear(b.value, x, value.weight, value.bias, storedChannels)
  if (angles) {
    ops.rotary(b.query, b.query, angles)
    ops.rotary(b.key, b.key, angles)
  }
  ops.cache_append(cache.key, b.key, stored, past)
  ops.cache_append(cache.value, b.value, stored, past)
  const scale = attentionScale(config)
  ops.attention(b.context, b.query, cache.key, cache.value, heads, keyHeadOf, scale, past + T)
}

/** Second step of a block: the chosen heads' outputs join the stream. */
export function project(
  pass: Pass,
  { weights, units }: ActiveBlock,
  b: BlockBuffers,
  channelsOf: ChooseChannels | null = null,
): void {
  const { backend, config } = pass
  const { ops } = backend
  const { weight, bias } = weights.out
  let context = b.context
  if (units.headFactors) {
    ops.mask_units(b.maskedContext, b.context, units.headFactors)
    context = b.maskedContext
  }
  context = readBy(pass, 'heads', b.maskedContext, context, channelsOf)
  ops.linear_input_major(b.branch, context, weight, bias, units.channels)
  ops.add(b.attentionSum, b.input, b.branch)
  if (!config.preNorm) norm(pass, b.middle, b.attentionSum, weights.attentionNorm)
}

/** The neurons that are chosen by their gate, whose buffers the caller frees. */
export interface GateChoice {
  /** Those that are computed, ascending; null for all. */
  readonly neurons: Buffer | null // below F
  /** What activations are multiplied by, where all are computed. */
  readonly factors: Buffer | null // [F]
}

/**
 * Third step of a block: the feed-forward branch over the chosen neurons.
 * @param choose called when the gate has been computed; null keeps the neurons of the block
 */
export function feedForward(
  pass: Pass,
  { weights, units }: ActiveBlock,
  b: BlockBuffers,
  choose: (() => GateChoice | null) | null = null,
  channelsOf: ChooseChannels | null = null,
): void {
  const { backend, config } = pass
  const { ops } = backend
  const { fc1, up, fc2 } = weights
  if (config.preNorm) norm(pass, b.ffnInput, b.middle, weights.ffnNorm)
  const x = readBy(pass, 'ffn', b.branch, b.ffnInput, channelsOf)
  ops.linear(b.preActivation, x, fc1.weight, fc1.bias, units.neurons)
  const chosen = choose && choose()
  if (up && b.up) {
    ops.linear(b.up, x, up.weight, up.bias, chosen?.neurons ?? units.neurons)
    ops.silu_gate(b.activation, b.preActivation, b.up)
  } else ops.relu(b.activation, b.preActivation)
  let activation = b.activation
  const factors = chosen?.factors ?? units.neuronFactors
  if (factors) {
    ops.mask_units(b.maskedActivation, b.activation, factors)
    activation = b.maskedActivation
  }
  activation = readBy(pass, 'activations', b.maskedActivation, activation, channelsOf)
  ops.linear_input_major(b.branch, activation, fc2.weight, fc2.bias, chosen?.neurons ?? units.terms)
  ops.add(b.ffnSum, b.middle, b.branch)
  if (!config.preNorm) norm(pass, b.output, b.ffnSum, weights.ffnNorm)
}

/** Where the end of the pass works; each is only there when the model has that step. */
export interface EndBuffers {
  readonly normed: Buffer | null // [T, D]
  readonly projected: Buffer | null // [T, E]
}

/** From the last block's stream to what the head reads: returns that buffer, [T, E]. */
export function finish(pass: Pass, weights: ModelWeights, stream: Buffer, buffers: EndBuffers): Buffer {
  let last = stream
  if (weights.finalNorm && buffers.normed) {
    norm(pass, buffers.normed, last, weights.finalNorm)
    last = buffers.normed
  }
  if (weights.projectOut && buffers.projected) {
    pass.backend.ops.linear(buffers.projected, last, weights.projectOut, null, null)
    last = buffers.projected
  }
  return last
}

/** The lm_head: no bias, one row per entry of the vocabulary. */
export function logitsOf({ backend }: Pass, weights: ModelWeights, logits: Buffer, last: Buffer): void {
  backend.ops.linear(logits, last, weights.head, null, null)
}
