/**
 * The sparsity that a mask achieves, which may differ from the requested one.
 *
 * `weights` counts the numbers of the matrices of the layers that a mask leaves unread: 2 K D for a head (its rows of query,
 * its channels of the output matrix), 2 K D for a key head (its rows of key and value), which is left unread with the last
 * head of its group, and 2 D for a neuron (its row of fc1, its channel of fc2), or 3 D in a gated block. Without groups a
 * head has a key head of its own. Where queries and keys are normed over all heads, rows of query and key are read whatever a mask
 * skips. Embeddings, the lm_head, norms and biases belong to no unit and are not counted. Layer 0
 * counts like any other layer.
 *
 * `channels` counts the numbers of these matrices that meet an input channel that is masked. Of them `weights` counts those
 * of out and fc2, which have a row per input: the others are read all the same.
 */
import { keyHeadOf } from '../ops/attention.ts'
import { describeValue } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { maskedShare, type ChannelSite } from './channels.ts'
import { denseMask, expectMask, type UnitMask, type UnitShape } from './mask.ts'

/** Shares skipped, each in [0, 1]. */
export interface Sparsity {
  /** Of the heads. */
  readonly heads: number
  /** Of the neurons. */
  readonly neurons: number
  /** Of the numbers in the matrices of the layers. */
  readonly weights: number
  /** Of the input channels, by the weights they meet; only under a planner that masks these. */
  readonly channels?: number
}

/** Shares skipped of the whole model, and layer by layer. */
export interface AchievedSparsity extends Sparsity {
  readonly layers: readonly Sparsity[] // [L]
}

/** The sizes of a layer that weights are counted by. The configuration of a model has them. */
export interface LayerSizes {
  readonly width: number // D
  /** K; default D / H. */
  readonly headSize?: number
  /** G; default H. */
  readonly keyHeads?: number
  /** Whether a neuron has rows in three matrices; default false: in two. */
  readonly gated?: boolean
  /** Whether queries and keys are normed over all heads of their kind; default false. */
  readonly normsAllHeads?: boolean
}

/** The sizes of a layer, without those that have their default. */
export function layerSizes(
  {
    width,
    headSize,
    keyHeads,
    gated,
    normsAllHeads,
  }: Required<Omit<LayerSizes, 'normsAllHeads'>> & LayerSizes,
  heads: number,
): LayerSizes {
  const isUsual = headSize * heads === width && keyHeads === heads && !gated && !normsAllHeads
  return isUsual ? { width } : { width, headSize, keyHeads, gated, ...(normsAllHeads && { normsAllHeads }) }
}

/**
 * The shares that a mask really skips, of heads, neurons and weights, in each layer and in the whole model: less than a budget's sparsity,
 * because dense layers count.
 * @throws UsageError MASK_SHAPE, WIDTH
 * @example
 * ```ts
 * import { achievedSparsity, ShadowModel } from 'shadowllm'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const mask = await opt.mask('Once upon a time', { sparsity: 0.5 })
 * console.log(achievedSparsity(mask, opt.config).neurons)
 * await opt.dispose()
 * ```
 */
export function achievedSparsity(mask: UnitMask, sizes: LayerSizes): AchievedSparsity {
  expectMask(mask)
  const width = sizes?.width
  if (!Number.isInteger(width) || width < 1)
    throw new UsageError('WIDTH', `width: expected a whole number from 1, got ${describeValue(width)}`)
  const { layers, heads: H, neurons: F } = mask.shape
  const { headSize: K = width / H, keyHeads: G = H, gated = false, normsAllHeads = false } = sizes
  const keys = G === H ? mask.heads : keyHeadMask(mask, G)
  /** Of the two matrices of heads or of key heads, those whose rows a skipped one leaves unread. */
  const unreadOf = (count: number): number => (normsAllHeads && count > 1 ? 1 : 2)
  // Weights of a layer over D.
  const weights = { heads: unreadOf(H) * H * K, keys: unreadOf(G) * G * K, neurons: (gated ? 3 : 2) * F }
  const total = 2 * H * K + 2 * G * K + weights.neurons
  /** Of `count` layers from `first`. */
  const sparsityOf = (first: number, count: number): Sparsity => {
    const heads = zeroShare(mask.heads, first * H, count * H)
    const neurons = zeroShare(mask.neurons, first * F, count * F)
    const unread =
      heads * weights.heads + zeroShare(keys, first * G, count * G) * weights.keys + neurons * weights.neurons
    const { channels } = mask
    if (!channels) return { heads, neurons, weights: unread / total }
    const masked = (site: ChannelSite): number => maskedShare(channels, site, layers, first, count)
    const byInput = masked('heads') * H * K + masked('activations') * F
    const byRow = masked('attention') * (H + 2 * G) * K + masked('ffn') * (weights.neurons - F)
    return { heads, neurons, weights: byInput / total, channels: (byInput + byRow) / total }
  }
  return {
    ...sparsityOf(0, layers),
    layers: Array.from({ length: layers }, (_, layer) => sparsityOf(layer, 1)),
  }
}

/**
 * The shares that the mask of a text skips; no mask skips nothing. Of a text that is checked dense they are those of its drafts.
 * @throws UsageError MASK_SHAPE, WIDTH
 */
export function achievedBy(mask: UnitMask | null, sizes: UnitShape & LayerSizes): AchievedSparsity {
  const { layers, heads, neurons } = sizes
  return achievedSparsity(mask ?? denseMask({ layers, heads, neurons }), sizes)
}

/** The mask of G key heads a layer: 0 for one that no kept head reads. */
export function keyHeadMask({ shape, heads }: UnitMask, G: number): Float32Array {
  const { layers, heads: H } = shape
  const mask = new Float32Array(layers * G)
  heads.forEach((kept, i) => {
    if (kept !== 0) mask[Math.floor(i / H) * G + keyHeadOf(null, i % H, G, H)] = 1
  })
  return mask
}

/** A unit is skipped when its mask is 0. */
function zeroShare(mask: Float32Array, start: number, length: number): number {
  let zeros = 0
  for (let i = start; i < start + length; i++) if (mask[i] === 0) zeros++
  return length === 0 ? 0 : zeros / length
}
