/**
 * The forward pass of OPT in ops of the catalogue (arXiv 2205.01068, as Hugging Face runs it). Every caller runs these functions: a
 * whole prompt, one cached token, a trace for the backward pass.
 *
 *   x = tokens [projected in] + positions
 *   pre-norm block:   x += out_proj(attention(norm x));   x += fc2(relu(fc1(norm x)))
 *   post-norm block:  x = norm(x + out_proj(attention x)); x = norm(x + fc2(relu(fc1 x)))
 *   logits = head([project out] [norm] x)
 *
 * A block is three steps, `attend`, `project`, `feedForward`, because a planner decides after the first `attend`. Units
 * that are skipped are left out of every op that touches them; with all heads skipped `project` adds the bias alone.
 * Buffers come from the caller: the same ones for each layer, or fresh ones that are kept.
 */
import type { Backend, Buffer } from '../../backends/backend.ts'
import type { OptConfig } from './config.ts'
import type { LayerCache } from './kv_cache.ts'
import { POSITION_OFFSET } from './names.ts'
import type { LayerUnits, UnitList } from './unit_lists.ts'
import type { Affine, BlockWeights, OptWeights } from './weights.ts'

/** OPT's layer norm constant. */
export const EPSILON = 1e-5

/** What every step of one pass shares. */
export interface Pass {
  readonly backend: Backend
  readonly config: OptConfig
  /** New tokens. */
  readonly T: number
  /** Tokens already in the cache. */
  readonly past: number
  /** C, positions the cache has room for. */
  readonly capacity: number
}

/**
 * Where a block's values go. Handles may be shared where a step allows it: post-norm branches read the stream itself,
 * sums may replace their first term, ReLU and masks may work in place.
 */
export interface BlockBuffers {
  readonly input: Buffer // [T, D] the stream entering the block
  readonly attentionInput: Buffer // [T, D] what q, k, v read
  readonly query: Buffer // [T, D]
  readonly key: Buffer // [T, D]
  readonly value: Buffer // [T, D]
  readonly context: Buffer // [T, D] softmax(q k) v, heads side by side, before any mask
  readonly maskedContext: Buffer // [T, D] what out_proj reads
  readonly branch: Buffer // [T, D] output of out_proj, then of fc2
  readonly attentionSum: Buffer // [T, D] stream + attention
  readonly middle: Buffer // [T, D] the stream between the halves
  readonly ffnInput: Buffer // [T, D] what fc1 reads
  readonly preActivation: Buffer // [T, F]
  readonly activation: Buffer // [T, F] after ReLU, before any mask
  readonly maskedActivation: Buffer // [T, F] what fc2 reads
  readonly ffnSum: Buffer // [T, D] stream + feed-forward
  readonly output: Buffer // [T, D] the stream leaving the block
}

/** What attention scores are scaled by. */
export function attentionScale(config: OptConfig): number {
  return config.headSize ** -0.5
}

/** y = x weightᵀ + bias over chosen rows. */
function rowLinear(
  { backend, T }: Pass,
  y: Buffer, // [T, O]
  x: Buffer, // [T, I]
  { weight, bias }: { weight: Buffer; bias: Buffer | null },
  rows: UnitList,
  O: number,
  I: number,
): void {
  backend.ops.linear(y, x, weight, bias, rows.list, T, O, I, rows.count)
}

/** Layer norm of the model's width. */
function norm({ backend, config, T }: Pass, y: Buffer, x: Buffer, { weight, bias }: Affine): void {
  backend.ops.layer_norm(y, x, weight, bias, EPSILON, T, config.width)
}

/** Where the embedding works; `embedded` is only there when the token table has a width of its own. */
export interface EmbeddingBuffers {
  readonly embedded: Buffer | null // [T, E]
  readonly position: Buffer // [T, D]
  readonly output: Buffer // [T, D]
}

/** Tokens and their positions become the stream. */
export function embed(
  pass: Pass,
  weights: OptWeights,
  tokens: Buffer, // [T] i32
  positions: Buffer, // [T] i32, rows of the position table
  buffers: EmbeddingBuffers,
): void {
  const { backend, config, T } = pass
  const { width: D, vocabulary: V, embeddingWidth: E } = config
  const { embedded, position, output } = buffers
  if (embedded && weights.projectIn) {
    backend.ops.embedding(embedded, weights.tokenTable, tokens, T, V, E)
    rowLinear(
      pass,
      output,
      embedded,
      { weight: weights.projectIn, bias: null },
      { list: null, count: D },
      D,
      E,
    )
  } else backend.ops.embedding(output, weights.tokenTable, tokens, T, V, D)
  backend.ops.embedding(position, weights.positionTable, positions, T, config.positions + POSITION_OFFSET, D)
  backend.ops.add(output, output, position, T * D)
}

/**
 * First step of a block: from the stream to the heads' outputs.
 *
 * Keys and values enter the cache for the chosen heads, or for all where `everyKey` asks for it (a planner that may
 * choose other heads later must not find holes).
 */
export function attend(
  pass: Pass,
  block: BlockWeights,
  units: LayerUnits,
  cache: LayerCache,
  b: BlockBuffers,
  everyKey: boolean,
): void {
  const { backend, config, T, past, capacity: C } = pass
  const { width: D, heads: H, headSize: K } = config
  const { heads, channels } = units
  if (config.preNorm) norm(pass, b.attentionInput, b.input, block.attentionNorm)
  const stored = everyKey ? { list: null, count: H } : heads
  const storedChannels = everyKey ? { list: null, count: D } : channels
  rowLinear(pass, b.query, b.attentionInput, block.query, channels, D, D)
  rowLinear(pass, b.key, b.attentionInput, block.key, storedChannels, D, D)
  rowLinear(pass, b.value, b.attentionInput, block.value, storedChannels, D, D)
  backend.ops.cache_append(cache.key, b.key, stored.list, past, T, C, H, K, stored.count)
  backend.ops.cache_append(cache.value, b.value, stored.list, past, T, C, H, K, stored.count)
  const scale = attentionScale(config)
  const S = past + T
  const { context, query } = b
  backend.ops.attention(context, query, cache.key, cache.value, heads.list, scale, T, S, C, H, K, heads.count)
}

/** Second step of a block: the chosen heads' outputs join the stream. */
export function project(pass: Pass, block: BlockWeights, units: LayerUnits, b: BlockBuffers): void {
  const { backend, config, T } = pass
  const { width: D, heads: H, headSize: K } = config
  const { list, count } = units.channels
  let context = b.context
  if (units.headFactors) {
    backend.ops.mask_units(b.maskedContext, b.context, units.headFactors, T, H, K)
    context = b.maskedContext
  }
  backend.ops.linear_input_major(b.branch, context, block.out.weight, block.out.bias, list, T, D, D, count)
  backend.ops.add(b.attentionSum, b.input, b.branch, T * D)
  if (!config.preNorm) norm(pass, b.middle, b.attentionSum, block.attentionNorm)
}

/** Third step of a block: the feed-forward branch over the chosen neurons. */
export function feedForward(pass: Pass, block: BlockWeights, units: LayerUnits, b: BlockBuffers): void {
  const { backend, config, T } = pass
  const { width: D, neurons: F } = config
  const { list, count } = units.neurons
  if (config.preNorm) norm(pass, b.ffnInput, b.middle, block.ffnNorm)
  rowLinear(pass, b.preActivation, b.ffnInput, block.fc1, units.neurons, F, D)
  backend.ops.relu(b.activation, b.preActivation, T * F)
  let activation = b.activation
  if (units.neuronFactors) {
    backend.ops.mask_units(b.maskedActivation, b.activation, units.neuronFactors, T, F, 1)
    activation = b.maskedActivation
  }
  backend.ops.linear_input_major(b.branch, activation, block.fc2.weight, block.fc2.bias, list, T, D, F, count)
  backend.ops.add(b.ffnSum, b.middle, b.branch, T * D)
  if (!config.preNorm) norm(pass, b.output, b.ffnSum, block.ffnNorm)
}

/** Where the end of the pass works; each is only there when the model has that step. */
export interface EndBuffers {
  readonly normed: Buffer | null // [T, D]
  readonly projected: Buffer | null // [T, E]
}

/** From the last block's stream to what the head reads: returns that buffer, [T, E]. */
export function finish(pass: Pass, weights: OptWeights, stream: Buffer, buffers: EndBuffers): Buffer {
  const { width: D, embeddingWidth: E } = pass.config
  let last = stream
  if (weights.finalNorm && buffers.normed) {
    norm(pass, buffers.normed, last, weights.finalNorm)
    last = buffers.normed
  }
  if (weights.projectOut && buffers.projected) {
    rowLinear(
      pass,
      buffers.projected,
      last,
      { weight: weights.projectOut, bias: null },
      { list: null, count: E },
      E,
      D,
    )
    last = buffers.projected
  }
  return last
}

/** The lm_head: no bias, one row per entry of the vocabulary. */
export function logitsOf(pass: Pass, weights: OptWeights, logits: Buffer, last: Buffer): void {
  const { vocabulary: V, embeddingWidth: E } = pass.config
  rowLinear(pass, logits, last, { weight: weights.head, bias: null }, { list: null, count: V }, V, E)
}
