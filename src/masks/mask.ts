/**
 * A mask over the units of a whole model: which heads and which FFN neurons are computed, one decision per sequence.
 *
 * Values are 1 (computed) and 0 (skipped). `simulate` mode, which multiplies activations by the mask, takes any number;
 * that is how derivatives with respect to a mask are measured.
 */
import { UsageError } from '../tensor/errors.ts'

/** How many units a model has: L layers of H heads and F neurons. */
export interface UnitShape {
  readonly layers: number // L
  readonly heads: number // H, per layer
  readonly neurons: number // F, per layer
}

/** A number for every unit of a model. */
export interface UnitMask {
  readonly shape: UnitShape
  readonly heads: Float32Array // [L, H]
  readonly neurons: Float32Array // [L, F]
}

/** The mask that skips nothing. */
export function denseMask(shape: UnitShape): UnitMask {
  return makeMask(
    shape,
    new Float32Array(shape.layers * shape.heads).fill(1),
    new Float32Array(shape.layers * shape.neurons).fill(1),
  )
}

/**
 * A mask from its two tables.
 * @throws UsageError MASK_SHAPE if a table does not have layers x units numbers.
 */
export function makeMask(shape: UnitShape, heads: Float32Array, neurons: Float32Array): UnitMask {
  const { layers } = shape
  if (heads.length !== layers * shape.heads)
    throw new UsageError(
      'MASK_SHAPE',
      `head mask: expected [${layers}, ${shape.heads}], got ${heads.length} numbers`,
    )
  if (neurons.length !== layers * shape.neurons)
    throw new UsageError(
      'MASK_SHAPE',
      `neuron mask: expected [${layers}, ${shape.neurons}], got ${neurons.length} numbers`,
    )
  return { shape, heads, neurons }
}
