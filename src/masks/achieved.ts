/**
 * The sparsity that a mask achieves, which may differ from the requested one.
 *
 * `weights` counts the numbers of the six matrices of the layers that a skipped unit leaves unread: 4 K D for a head
 * (its rows of q, k, v and its channels of out_proj), 2 D for a neuron (its row of fc1, its channel of fc2).
 * Embeddings, the lm_head, layer norms and biases belong to no unit and are not counted. Layer 0 counts like any other layer.
 */
import { describeValue } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { expectMask, type UnitMask } from './mask.ts'

/** Shares skipped, each in [0, 1]. */
export interface Sparsity {
  readonly heads: number
  readonly neurons: number
  readonly weights: number
}

/** Shares skipped of the whole model, and layer by layer. */
export interface AchievedSparsity extends Sparsity {
  readonly layers: readonly Sparsity[] // [L]
}

/**
 * The sparsity of each layer and of the whole model.
 * @param width D, the model's width; the head size is D / H
 * @throws UsageError MASK_SHAPE, WIDTH
 */
export function achievedSparsity(mask: UnitMask, width: number): AchievedSparsity {
  expectMask(mask)
  if (!Number.isInteger(width) || width < 1)
    throw new UsageError('WIDTH', `width: expected a whole number from 1, got ${describeValue(width)}`)
  const { layers, heads, neurons } = mask.shape
  /** Of `count` layers from `first`. */
  const sparsityOf = (first: number, count: number): Sparsity => {
    const headShare = zeroShare(mask.heads, first * heads, count * heads)
    const neuronShare = zeroShare(mask.neurons, first * neurons, count * neurons)
    const weights = weightShare(headShare, neuronShare, neurons, width)
    return { heads: headShare, neurons: neuronShare, weights }
  }
  return {
    ...sparsityOf(0, layers),
    layers: Array.from({ length: layers }, (_, layer) => sparsityOf(layer, 1)),
  }
}

/** A unit is skipped when its mask is 0. */
function zeroShare(mask: Float32Array, start: number, length: number): number {
  let zeros = 0
  for (let i = start; i < start + length; i++) if (mask[i] === 0) zeros++
  return length === 0 ? 0 : zeros / length
}

/** All heads of a layer have 4 D D weights, all neurons 2 F D. */
function weightShare(headShare: number, neuronShare: number, neurons: number, width: number): number {
  const headWeights = 4 * width
  const neuronWeights = 2 * neurons
  return (headShare * headWeights + neuronShare * neuronWeights) / (headWeights + neuronWeights)
}
