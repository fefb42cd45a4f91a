/**
 * Shared by criteria: tables of scores, filled layer by layer, and sums over the tokens of a unit.
 *
 * Activations come as [T, U, K]: U units of K channels each, K being the head size for heads and 1 for neurons. Sums
 * are in float64, tokens in order, and become float32 once, at the end; so every engine gives the same bits.
 */
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'

/** Scores of every layer, from the scores of one: [H] and [F]. */
export function scoreLayers(
  shape: UnitShape,
  heads: (layer: number) => ArrayLike<number>,
  neurons: (layer: number) => ArrayLike<number>,
): UnitScores {
  const scores = {
    shape,
    heads: new Float32Array(shape.layers * shape.heads),
    neurons: new Float32Array(shape.layers * shape.neurons),
  }
  for (let layer = 0; layer < shape.layers; layer++) {
    scores.heads.set(heads(layer), layer * shape.heads)
    scores.neurons.set(neurons(layer), layer * shape.neurons)
  }
  return scores
}

/** The sum of `term(index)` over the elements of each unit of a [T, U, K] array of `length` elements: [U]. */
export function sumPerUnit(
  length: number,
  units: number,
  size: number, // K
  term: (index: number) => number,
): Float64Array {
  const sums = new Float64Array(units)
  for (let index = 0; index < length;)
    for (let unit = 0; unit < units; unit++) for (let k = 0; k < size; k++) sums[unit] += term(index++)
  return sums
}

/** The root of the sum of squares of each unit's elements: [U]. */
export function normPerUnit(values: Float32Array, units: number, size: number): Float64Array {
  return sumPerUnit(values.length, units, size, (i) => values[i] * values[i]).map(Math.sqrt)
}
