/**
 * The overlap of two masks: recall, precision and Jaccard index.
 *
 * Dense layers are left out, because nothing is selected there. The precision of an empty selection and the recall of an
 * empty oracle mask are 1.
 */
import { describeValue } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { checkTable, expectMask, type UnitMask } from './mask.ts'

/** The comparison of two sets of units; each share in [0, 1]. */
export interface Overlap {
  /** |both| / |oracle| */
  readonly recall: number
  /** |both| / |chosen| */
  readonly precision: number
  /** |both| / |either| */
  readonly jaccard: number
}

/**
 * Recall, precision and Jaccard index of one set of units against another, as tables of the same units: a unit is in the set unless
 * its number is 0. Whole masks are compared by `maskOverlap`.
 * @param chosen the set that is judged
 * @param oracle the set that it should be
 * @throws UsageError MASK_SHAPE if the tables differ in length
 */
export function setOverlap(chosen: Float32Array, oracle: Float32Array): Overlap {
  checkTable(oracle, 'oracle', 1, oracle?.length)
  checkTable(chosen, 'chosen', 1, oracle.length)
  let both = 0
  let right = 0
  let made = 0
  for (let unit = 0; unit < oracle.length; unit++) {
    if (oracle[unit] !== 0) right++
    if (chosen[unit] !== 0) made++
    if (oracle[unit] !== 0 && chosen[unit] !== 0) both++
  }
  const share = (whole: number): number => (whole === 0 ? 1 : both / whole)
  return { recall: share(right), precision: share(made), jaccard: share(right + made - both) }
}

/**
 * How far a mask agrees with the one that it should be, for heads and for neurons: recall, precision and Jaccard index.
 * @param denseLayers how many layers, from the first, are left out
 * @param oracle the mask that it should be
 * @throws UsageError MASK_SHAPE, DENSE_LAYERS
 * @example
 * ```ts
 * import { maskOverlap, ShadowModel } from 'shadowllm'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const mask = await opt.mask('Once upon a time', { planner: 'shadow', sparsity: 0.5 })
 * const other = await opt.mask('Once upon a time', { planner: 'prompt-plainact', sparsity: 0.5 })
 * console.log(maskOverlap(mask, other).neurons.recall)
 * await opt.dispose()
 * ```
 */
export function maskOverlap(
  mask: UnitMask,
  oracle: UnitMask,
  denseLayers = 1,
): { readonly heads: Overlap; readonly neurons: Overlap } {
  expectMask(mask)
  expectMask(oracle)
  if (!Number.isInteger(denseLayers) || denseLayers < 0)
    throw new UsageError(
      'DENSE_LAYERS',
      `dense layers: expected a whole number of layers, got ${describeValue(denseLayers)}`,
    )
  for (const size of ['layers', 'heads', 'neurons'] as const)
    if (mask.shape[size] !== oracle.shape[size])
      throw new UsageError(
        'MASK_SHAPE',
        `mask: expected ${oracle.shape[size]} ${size}, got ${mask.shape[size]}`,
      )
  const from = (table: Float32Array, units: number): Float32Array => table.subarray(denseLayers * units)
  const { heads, neurons } = mask.shape
  return {
    heads: setOverlap(from(mask.heads, heads), from(oracle.heads, oracle.shape.heads)),
    neurons: setOverlap(from(mask.neurons, neurons), from(oracle.neurons, oracle.shape.neurons)),
  }
}
