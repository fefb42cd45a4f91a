/**
 * Units as ops take them: lists of those that are computed, or factors that all are multiplied by.
 */
import type { Buffer } from '../backends/backend.ts'
import { expectMask, type UnitMask, type UnitShape } from '../masks/mask.ts'
import type { LayerMask } from '../masks/planner.ts'
import { keyHeadOf } from '../ops/key_heads.ts'
import { UsageError } from '../tensor/errors.ts'

/** One layer's mask as its ops take it: lists of chosen units, ascending, of which null is all. */
export interface LayerUnits {
  readonly heads: Buffer | null // below H
  /** The channels of the chosen heads, K each. */
  readonly channels: Buffer | null // below H K
  /** The key heads that they read, and the channels of these. */
  readonly keyHeads: Buffer | null // below G
  readonly keyChannels: Buffer | null // below G K
  readonly neurons: Buffer | null // rows of fc1, below F
  /** The inputs of fc2: the neurons, in the order in which they are added. */
  readonly terms: Buffer | null // below F
  /** What head outputs are multiplied by where all are computed under a mask. */
  readonly headFactors: Buffer | null // [H]
  /** What activations are multiplied by there. */
  readonly neuronFactors: Buffer | null // [F]
}

/** Every unit of a layer. */
export const allUnits: LayerUnits = {
  heads: null,
  channels: null,
  keyHeads: null,
  keyChannels: null,
  neurons: null,
  terms: null,
  headFactors: null,
  neuronFactors: null,
}

/**
 * Checks that a mask is one of a model of this shape and, where units are to be skipped by it, that it can be.
 * @throws UsageError MASK_SHAPE, MASK_VALUE
 */
export function checkMask(mask: UnitMask, shape: UnitShape, skips = false): void {
  expectMask(mask)
  const words = ({ layers, heads, neurons }: UnitShape): string =>
    `${layers} layers of ${heads} heads and ${neurons} neurons`
  if (words(mask.shape) !== words(shape))
    throw new UsageError('MASK_SHAPE', `mask: expected ${words(shape)}, got ${words(mask.shape)}`)
  if (mask.channels)
    throw new UsageError(
      'MASK_SHAPE',
      'mask: expected heads and neurons, got input channels too, which a planner chooses token by token',
    )
  if (skips) checkSwitches(mask)
}

/** @throws UsageError MASK_VALUE for a number other than 0 and 1, which units cannot be skipped by */
export function checkSwitches({ heads, neurons }: LayerMask): void {
  checkSwitch('head mask', heads)
  checkSwitch('neuron mask', neurons)
}

/** The same for one table. @throws UsageError MASK_VALUE */
export function checkSwitch(name: string, mask: Float32Array): void {
  // Not findIndex: a planner that decides for every token has every mask checked as often.
  for (let wrong = 0; wrong < mask.length; wrong++)
    if (mask[wrong] !== 0 && mask[wrong] !== 1)
      throw new UsageError('MASK_VALUE', `${name}[${wrong}]: expected 0 or 1 to skip by, got ${mask[wrong]}`)
}

/** One row of a mask. */
export function layerMask(mask: UnitMask, layer: number): LayerMask {
  const { heads, neurons } = mask.shape
  return {
    heads: mask.heads.subarray(layer * heads, (layer + 1) * heads),
    neurons: mask.neurons.subarray(layer * neurons, (layer + 1) * neurons),
  }
}

/** The units a mask keeps, ascending. */
export function chosenUnits(mask: Float32Array): Int32Array {
  const chosen = new Int32Array(mask.length)
  let count = 0
  for (let unit = 0; unit < mask.length; unit++) if (mask[unit] !== 0) chosen[count++] = unit
  return chosen.slice(0, count)
}

/** The key heads that these heads read, of G where there are H heads, and which of them each reads. @param heads ascending */
export function keyHeadsOf(
  heads: Int32Array,
  H: number,
  G: number,
): { readonly keyHeads: Int32Array; readonly places: Int32Array } {
  const each = heads.map((h) => keyHeadOf(null, h, G, H))
  const keyHeads = Int32Array.from(new Set(each))
  return { keyHeads, places: each.map((g) => keyHeads.indexOf(g)) }
}

/** The rows of units that have `size` rows each, ascending. */
export function rowsOfUnits(units: Int32Array, size: number): Int32Array {
  if (size === 1) return units
  const rows = new Int32Array(units.length * size)
  for (let i = 0; i < rows.length; i++) rows[i] = units[Math.floor(i / size)] * size + (i % size)
  return rows
}
