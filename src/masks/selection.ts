/**
 * Selects a mask from scores: the units with the highest scores are kept, within a budget.
 *
 * Invariants: ties go to the lower index (layer first, then unit); of two budgets that differ in sparsity only, the
 * larger keeps a superset (budgets with other floors, scopes or dense layers need not nest); the dense layers are dense
 * whatever their scores say; NaN ranks below every number. `selectMask` is the one definition; it ranks by
 * the top_k op of the reference or of any backend, which give equal results.
 */
import type { Backend } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { top_k } from '../ops/top_k.ts'
import { describeValue, isObject } from '../tensor/arguments.ts'
import { expectOption, kinds } from '../tensor/option.ts'
import { UsageError } from '../tensor/errors.ts'
import { checkBudget, firstRanked, unitsKept, defaultNeuronFloor, type Budget } from './budget.ts'
import { checkTable, checkUnitShape, makeMask, type UnitMask, type UnitShape } from './mask.ts'
import type { LayerMask } from './planner.ts'

/**
 * The importance of each unit; low scores are skipped first. Rows of dense layers are ignored.
 * @specified `Units`
 */
export interface UnitScores {
  readonly shape: UnitShape
  readonly heads: Float32Array // [L, H]
  readonly neurons: Float32Array // [L, F]
}

/** What ranks the scores; where it is left out, the reference. It gives the indices of the `count` highest scores, ascending. */
export type TopK = (scores: Float32Array, count: number) => Int32Array

/** top_k by its definition. */
export const referenceTopK: TopK = (scores, count) => {
  const indices = new Int32Array(count)
  top_k(indices, scores, scores.length, count)
  return indices
}

/** top_k on a backend. */
export function backendTopK(backend: Backend): TopK {
  return (scores, count) =>
    BufferScope.within(backend, (scope) => {
      const indices = scope.allocate('i32', [count])
      backend.ops.top_k(indices, scope.upload(scores))
      return backend.readI32(indices)
    })
}

/**
 * The mask that keeps the highest scores within a budget.
 * @throws UsageError SCORE_SHAPE if the scores are not [L, H] and [L, F], MASK_SHAPE for invalid sizes; FLOOR if a
 *   floor is above H or F; OPTION_TYPE; what `checkBudget` throws
 * @example
 * ```ts
 * import { makeBudget, selectMask } from 'shadowllm'
 *
 * // Layer 0 runs dense; of the heads and neurons of layer 1 half are kept.
 * const shape = { layers: 2, heads: 2, neurons: 4 }
 * const heads = Float32Array.of(0, 0, 3, 1) // [L, H]
 * const neurons = Float32Array.of(0, 0, 0, 0, 1, 4, 2, 3) // [L, F]
 * const mask = selectMask({ shape, heads, neurons }, makeBudget(0.5))
 * console.log(mask.heads.join(' '), mask.neurons.join(' ')) // 1 1 1 0 1 1 1 1 0 1 0 1
 * ```
 */
export function selectMask(scores: UnitScores, budget: Budget, topK: TopK = referenceTopK): UnitMask {
  if (!isObject(scores))
    throw new UsageError(
      'SCORE_SHAPE',
      `scores: expected a shape and two tables, got ${describeValue(scores)}`,
    )
  checkUnitShape(scores.shape)
  checkBudget(budget)
  expectOption('topK', topK, kinds.call)
  const { layers, heads, neurons } = scores.shape
  checkTable(scores.heads, 'head scores', layers, heads, 'SCORE_SHAPE')
  checkTable(scores.neurons, 'neuron scores', layers, neurons, 'SCORE_SHAPE')
  const { headSparsity, headFloor, neuronSparsity } = budget
  const neuronFloor = budget.neuronFloor ?? defaultNeuronFloor(neurons)
  return makeMask(
    scores.shape,
    selectUnits('head', scores.heads, layers, heads, headSparsity, headFloor, budget, topK),
    selectUnits('neuron', scores.neurons, layers, neurons, neuronSparsity, neuronFloor, budget, topK),
  )
}

/** The importance of each unit of one layer. */
export interface LayerScores {
  readonly heads: Float32Array // [H]
  readonly neurons: Float32Array // [F]
}

/**
 * The mask of one layer from its scores, for a planner that decides layer by layer: as `selectMask` selects it in per-layer scope. What
 * hybrid scope of the paper's code gives back to a layer it takes from others, which a layer alone does not have: there are no floors then.
 * @throws UsageError FLOOR
 * @specified `selectMask`
 */
export function selectLayer(scores: LayerScores, budget: Budget, topK: TopK = referenceTopK): LayerMask {
  const { heads, neurons } = scores
  const shape = { layers: 1, heads: heads.length, neurons: neurons.length }
  const floors = budget.policy === 'paper-compatible' &&
    budget.scope === 'hybrid' && { headFloor: 0, neuronFloor: 0 }
  const alone: Budget = { ...budget, ...floors, scope: 'per-layer', denseLayers: 0 }
  const mask = selectMask({ shape, heads, neurons }, alone, topK)
  return { heads: mask.heads, neurons: mask.neurons }
}

/** The mask [L, U] of one kind of unit. */
function selectUnits(
  kind: string,
  scores: Float32Array, // [L, U]
  layers: number,
  units: number,
  sparsity: number,
  floor: number,
  budget: Budget,
  topK: TopK,
): Float32Array {
  if (floor > units)
    throw new UsageError('FLOOR', `${kind} floor: expected at most ${units} units, got ${floor}`)
  const mask = new Float32Array(layers * units)
  const { scope, policy, denseLayers } = budget
  const first = firstRanked(budget)
  if (scope === 'hybrid' && policy === 'paper-compatible')
    return selectAsReleased(
      scores,
      layers,
      units,
      unitsKept(scores.length, sparsity, policy),
      floor,
      topK,
    ).fill(1, 0, Math.min(layers, denseLayers) * units)
  const keep = (start: number, length: number, count: number): void => {
    const ranked = scores.subarray(start, start + length)
    for (const unit of chooseWithFloor(ranked, length / units, units, count, floor, topK))
      mask[start + unit] = 1
  }
  if (scope !== 'per-layer') {
    const ranked = Math.max(0, layers - first) * units
    keep(first * units, ranked, unitsKept(ranked, sparsity, policy))
  } else
    for (let layer = first; layer < layers; layer++)
      keep(layer * units, units, unitsKept(units, sparsity, policy))
  return mask.fill(1, 0, Math.min(layers, denseLayers) * units)
}

/**
 * The hybrid scope of the paper's code: the best of all; for each layer with fewer than `floor` of them, so many of the lowest are
 * given up, and the layer gets its best ones back. It does not look again, so that a layer may keep fewer, or none.
 */
function selectAsReleased(
  scores: Float32Array, // [L, U]
  layers: number,
  units: number,
  count: number,
  floor: number,
  topK: TopK,
): Float32Array {
  const kept = new Float32Array(layers)
  for (const unit of topK(scores, count)) kept[Math.floor(unit / units)]++
  const short = Array.from(kept.keys()).filter((layer) => kept[layer] < floor)
  const mask = new Float32Array(layers * units)
  for (const unit of topK(scores, Math.max(0, count - floor * short.length))) mask[unit] = 1
  for (const layer of short)
    for (const unit of topK(scores.slice(layer * units, (layer + 1) * units), floor))
      mask[layer * units + unit] = 1
  return mask
}

/** The best `floor` units of every layer, then the best of all others until `count` are chosen. */
function chooseWithFloor(
  scores: Float32Array, // [L', U], the ranked layers
  layers: number,
  units: number,
  count: number,
  floor: number,
  topK: TopK,
): Iterable<number> {
  // A shortcut: without a floor, or with one layer, the general case below selects the same units.
  if (floor === 0 || layers === 1) return topK(scores, Math.max(count, floor))
  const chosen = new Set<number>()
  for (let start = 0; start < layers * units; start += units)
    for (const unit of topK(scores.slice(start, start + units), floor)) chosen.add(start + unit)
  const others = new Int32Array(scores.length - chosen.size)
  const theirs = new Float32Array(others.length)
  let filled = 0
  for (let unit = 0; unit < scores.length; unit++)
    if (!chosen.has(unit)) {
      others[filled] = unit
      theirs[filled++] = scores[unit]
    }
  for (const place of topK(theirs, Math.max(0, count - chosen.size))) chosen.add(others[place])
  return chosen
}
