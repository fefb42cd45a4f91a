/**
 * Masks as a model takes them, and the lists of units and rows that follow.
 */
import { expectMask, type UnitMask, type UnitShape } from '../masks/mask.ts'
import type { LayerMask } from '../masks/planner.ts'
import { UsageError } from '../tensor/errors.ts'

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
  if (!skips) return
  for (let layer = 0; layer < shape.layers; layer++) checkSwitches(layerMask(mask, layer), `layer ${layer}, `)
}

/**
 * The mask of one layer.
 * @param where begins an error
 * @throws UsageError MASK_VALUE for a number other than 0 and 1, which units cannot be skipped by
 */
export function checkSwitches({ heads, neurons }: LayerMask, where = ''): void {
  checkSwitch(`${where}head mask`, heads)
  checkSwitch(`${where}neuron mask`, neurons)
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

/** The rows of units that have `size` rows each, ascending. */
export function rowsOfUnits(units: Int32Array, size: number): Int32Array {
  if (size === 1) return units
  const rows = new Int32Array(units.length * size)
  for (let i = 0; i < rows.length; i++) rows[i] = units[Math.floor(i / size)] * size + (i % size)
  return rows
}
