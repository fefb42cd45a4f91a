/**
 * A block as a sequence runs it: the matrices it reads, how many units they hold, and which of those are computed.
 *
 * A mask can be carried out in three ways, which give the same numbers (a law) and take different time:
 * - dense: everything is computed and multiplied by the mask;
 * - gather: the matrices stay as they are, and rows of skipped units are passed over;
 * - packed: the rows of the units that remain are copied side by side once, and the block is a smaller dense one from
 *   then on. Every later token reads forward through what it needs and through nothing else.
 *
 * Attention and feed-forward choose for themselves (`cheapestWay`), or are told by the mode of the sequence.
 */
import type { Buffer } from '../../backends/backend.ts'
import { BufferScope } from '../../backends/buffer_scope.ts'
import type { LayerMask } from '../../masks/planner.ts'
import { MissingError } from '../../tensor/errors.ts'
import type { OptConfig } from './config.ts'
import { cheapestWay, countRuns, type Way } from './mask_cost.ts'
import { gatherLinear, gatherRows, rowBytes, type Linear } from './matrix.ts'
import {
  allUnits,
  chosenUnits,
  every,
  rowsOfUnits,
  uploadList,
  type LayerUnits,
  type UnitList,
} from './unit_lists.ts'
import type { BlockWeights } from './weights.ts'

/**
 * How a mask is carried out: left to the cost model (`auto`), packed, by skipping rows in place, or by computing
 * everything and multiplying by the mask, which takes any numbers.
 */
export const maskModes = ['auto', 'pack', 'skip', 'simulate'] as const
export type MaskMode = (typeof maskModes)[number]

/** A block and the units of it that are computed. */
export interface ActiveBlock {
  readonly weights: BlockWeights
  /** Heads that q, k, v and out_proj hold; the cache has as many. */
  readonly heads: number
  /** Neurons that fc1 and fc2 hold. */
  readonly neurons: number
  /** Of those it holds, which are computed. */
  readonly units: LayerUnits
  /** How its two halves carry out the mask. */
  readonly ways: { readonly heads: Way; readonly neurons: Way }
  /** Gives back what was made for it; the model's own weights stay. */
  dispose(): void
}

/** What the choice of a way depends on besides the mask. */
export interface Prospects {
  readonly mode: MaskMode
  /** Tokens of the pass in which the mask is decided. */
  readonly T: number
  /** Tokens expected after that pass, one at a time, under this mask. */
  readonly steps: number
  /** Whether heads may be packed: the cache is still empty and the heads will not change, so it may hold just these. */
  readonly packsHeads: boolean
}

/** The whole block. */
export function denseBlock(weights: BlockWeights, { heads, headSize, neurons }: OptConfig): ActiveBlock {
  const units = allUnits(heads, headSize, neurons)
  return { weights, heads, neurons, units, ways: { heads: 'dense', neurons: 'dense' }, dispose: () => {} }
}

/**
 * The block under a mask. Dispose it.
 * @throws UsageError MASK_VALUE for numbers other than 0 and 1, which only `simulate` can carry out
 */
export function activateBlock(
  weights: BlockWeights,
  { width: D, headSize: K }: OptConfig,
  mask: LayerMask,
  prospects: Prospects,
): ActiveBlock {
  const scope = new BufferScope(weights.backend)
  const { packsHeads } = prospects
  const attention = { kind: 'head', size: K, byRow: ['query', 'key', 'value'], byInput: 'out' } as const
  const ffn = { kind: 'neuron', size: 1, byRow: ['fc1'], byInput: 'fc2' } as const
  try {
    const heads = activateHalf(scope, weights, attention, D, mask.heads, prospects, packsHeads)
    const neurons = activateHalf(scope, weights, ffn, D, mask.neurons, prospects, true)
    return {
      weights: { ...weights, ...heads.weights, ...neurons.weights },
      heads: heads.held,
      neurons: neurons.held,
      units: {
        heads: heads.units,
        channels: heads.rows,
        headFactors: heads.factors,
        neurons: neurons.units,
        neuronFactors: neurons.factors,
      },
      ways: { heads: heads.way, neurons: neurons.way },
      dispose: () => scope.dispose(),
    }
  } catch (error) {
    scope.dispose()
    throw error
  }
}

/** The matrices of one half of a block, and what a unit is in them. */
interface HalfShape {
  readonly kind: string
  /** Rows of a matrix that belong to a unit. */
  readonly size: number
  /** Stored one row per output: a unit's rows and their biases. */
  readonly byRow: readonly ('query' | 'key' | 'value' | 'fc1')[]
  /** Stored one row per input: a unit's rows; its bias is no unit's. */
  readonly byInput: 'out' | 'fc2'
}

/** One half of a block under a mask. */
interface ActiveHalf {
  readonly way: Way
  /** The matrices that take the place of the model's. */
  readonly weights: Partial<BlockWeights>
  /** Units those hold. */
  readonly held: number
  readonly units: UnitList
  /** The rows of the units. */
  readonly rows: UnitList
  readonly factors: Buffer | null
}

function activateHalf(
  scope: BufferScope,
  weights: BlockWeights,
  half: HalfShape,
  D: number,
  mask: Float32Array, // [U]
  { mode, T, steps }: Prospects,
  mayPack: boolean,
): ActiveHalf {
  const { kind, size, byRow, byInput } = half
  const U = mask.length
  const whole = { weights: {}, held: U, units: every(U), rows: every(U * size), factors: null }
  if (mode === 'simulate') return { ...whole, way: 'dense', factors: scope.upload(mask.slice()) }
  const chosen = chosenUnits(kind, mask)
  if (chosen.length === U) return { ...whole, way: 'dense' }
  const rows = rowsOfUnits(chosen, size)
  const work = {
    matrices: byRow.length + 1,
    rows: U * size,
    chosen: rows.length,
    runs: countRuns(chosen),
    rowBytes: rowBytes(weights[byInput], D),
    T,
    steps,
  }
  const way = mode === 'auto' ? cheapestWay(work) : mode === 'pack' ? 'packed' : 'gather'
  if (way === 'dense') return { ...whole, way, factors: scope.upload(mask.slice()) }
  const packed = way === 'packed' && mayPack ? pack(scope, weights, half, D, rows, mode === 'auto') : null
  if (!packed)
    return { ...whole, way: 'gather', units: uploadList(scope, chosen), rows: uploadList(scope, rows) }
  const held = chosen.length
  return { way, weights: packed, held, units: every(held), rows: every(held * size), factors: null }
}

/**
 * The half's matrices with the chosen rows alone, or null where there is no room for them and another way may be taken.
 * @throws MissingError BACKEND_MEMORY if it may not
 */
function pack(
  scope: BufferScope,
  weights: BlockWeights,
  { byRow, byInput }: HalfShape,
  D: number,
  rows: Int32Array,
  mayFail: boolean,
): Partial<BlockWeights> | null {
  const own = new BufferScope(scope.backend)
  const list = scope.backend.upload(rows)
  try {
    const packed: Partial<Record<keyof BlockWeights, Linear>> = {}
    for (const name of byRow) packed[name] = gatherLinear(own, weights[name], list, D)
    packed[byInput] = { ...gatherRows(own, weights[byInput], list, D), bias: weights[byInput].bias }
    scope.take(own)
    return packed as Partial<BlockWeights>
  } catch (error) {
    own.dispose()
    if (mayFail && error instanceof MissingError && error.code === 'BACKEND_MEMORY') return null
    throw error
  } finally {
    scope.backend.free(list)
  }
}
