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
import type { Backend, Buffer } from '../backends/backend.ts'
import type { ActiveBlock } from './active_block.ts'
import type { OptConfig } from './config.ts'
import { appendRows, attendOver, type CachedRows, type LayerCache } from './layer_cache.ts'
import { applyInputs, applyRows, lookUp, type Linear } from './matrix.ts'
import { POSITION_OFFSET } from './names.ts'
import { every, type UnitList } from './unit_lists.ts'
import type { Affine, OptWeights } from './weights.ts'

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
    lookUp(backend, embedded, weights.tokenTable, tokens, T, V, E)
    applyRows(backend, output, embedded, weights.projectIn, null, every(D), T, D, E)
  } else lookUp(backend, output, weights.tokenTable, tokens, T, V, D)
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
  { weights, heads: H, units }: ActiveBlock,
  cache: LayerCache,
  b: BlockBuffers,
  everyKey: boolean,
): void {
  const { backend, config, T, past, capacity: C } = pass
  const { width: D, headSize: K } = config
  const { heads, channels } = units
  if (config.preNorm) norm(pass, b.attentionInput, b.input, weights.attentionNorm)
  const stored = everyKey ? every(H) : heads
  const storedChannels = everyKey ? every(H * K) : channels
  const apply = (y: Buffer, linear: Linear, rows: UnitList): void =>
    applyRows(backend, y, b.attentionInput, linear, linear.bias, rows, T, H * K, D)
  apply(b.query, weights.query, channels)
  apply(b.key, weights.key, storedChannels)
  apply(b.value, weights.value, storedChannels)
  const append = (rows: CachedRows, x: Buffer): void =>
    appendRows(backend, rows, x, stored, past, T, { H, C, K })
  append(cache.key, b.key)
  append(cache.value, b.value)
  attendOver(backend, b.context, b.query, cache, heads, attentionScale(config), T, past + T, { H, C, K })
}

/** Second step of a block: the chosen heads' outputs join the stream. */
export function project(pass: Pass, { weights, heads: H, units }: ActiveBlock, b: BlockBuffers): void {
  const { backend, config, T } = pass
  const { width: D, headSize: K } = config
  let context = b.context
  if (units.headFactors) {
    backend.ops.mask_units(b.maskedContext, b.context, units.headFactors, T, H, K)
    context = b.maskedContext
  }
  applyInputs(backend, b.branch, context, weights.out, weights.out.bias, units.channels, T, D, H * K)
  backend.ops.add(b.attentionSum, b.input, b.branch, T * D)
  if (!config.preNorm) norm(pass, b.middle, b.attentionSum, weights.attentionNorm)
}

/** Third step of a block: the feed-forward branch over the chosen neurons. */
export function feedForward(pass: Pass, { weights, neurons: F, units }: ActiveBlock, b: BlockBuffers): void {
  const { backend, config, T } = pass
  const { width: D } = config
  const { fc1, fc2 } = weights
  if (config.preNorm) norm(pass, b.ffnInput, b.middle, weights.ffnNorm)
  applyRows(backend, b.preActivation, b.ffnInput, fc1, fc1.bias, units.neurons, T, F, D)
  backend.ops.relu(b.activation, b.preActivation, T * F)
  let activation = b.activation
  if (units.neuronFactors) {
    backend.ops.mask_units(b.maskedActivation, b.activation, units.neuronFactors, T, F, 1)
    activation = b.maskedActivation
  }
  applyInputs(backend, b.branch, activation, fc2, fc2.bias, units.terms, T, D, F)
  backend.ops.add(b.ffnSum, b.middle, b.branch, T * D)
  if (!config.preNorm) norm(pass, b.output, b.ffnSum, weights.ffnNorm)
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
    applyRows(pass.backend, buffers.projected, last, weights.projectOut, null, every(E), pass.T, E, D)
    last = buffers.projected
  }
  return last
}

/** The lm_head: no bias, one row per entry of the vocabulary. */
export function logitsOf(pass: Pass, weights: OptWeights, logits: Buffer, last: Buffer): void {
  const { backend, config, T } = pass
  const { vocabulary: V, embeddingWidth: E } = config
  applyRows(backend, logits, last, weights.head, null, every(V), T, V, E)
}
