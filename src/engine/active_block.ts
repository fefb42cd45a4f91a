/**
 * A block as a sequence runs it: the matrices it reads, how many units they hold, and which of those are computed.
 *
 * There are three execution strategies, which give the same numbers (a law) and take different time:
 * - dense: everything is computed and multiplied by the mask;
 * - gather: the matrices stay as they are, and rows of skipped units are passed over;
 * - packed: the rows of the units that remain are copied side by side once, and the block is a smaller dense one from
 *   then on. Every later token reads forward through what it needs and through nothing else.
 *
 * Attention and feed-forward choose for themselves (`cheapestStrategy`), or are told by the mode of the sequence.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { LayerMask } from '../masks/planner.ts'
import { MissingError } from '../tensor/errors.ts'
import type { OptConfig } from './config.ts'
import { cheapestStrategy, countRuns, type ExecutionStrategy } from './mask_cost.ts'
import { rowBytes } from './matrix.ts'
import { PackedHalf, type HalfShape } from './packing.ts'
import { allUnits, chosenUnits, rowsOfUnits, type LayerUnits } from './unit_lists.ts'
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
  readonly strategies: Readonly<Record<'heads' | 'neurons', ExecutionStrategy>>
  /** Its packed neurons, which the block under the next mask may take over. */
  readonly packedNeurons: PackedHalf | null
  /** Gives back what was made for it, but for packed neurons that another block took over. */
  dispose(kept?: PackedHalf | null): void
}

/** What the choice of a strategy depends on besides the mask. */
export interface CostHints {
  readonly mode: MaskMode
  /** Tokens of the pass in which the mask is decided. */
  readonly T: number
  /** Tokens expected after that pass, one at a time, under this mask. */
  readonly steps: number
  /** Whether there will be other masks. */
  readonly changes: boolean
  /** Whether heads may be packed: the cache is still empty and the heads will not change, so it may hold just these. */
  readonly packsHeads: boolean
}

/** The whole block. */
export function denseBlock(weights: BlockWeights, { heads, neurons }: OptConfig): ActiveBlock {
  return {
    weights,
    heads,
    neurons,
    units: allUnits,
    strategies: { heads: 'dense', neurons: 'dense' },
    packedNeurons: null,
    dispose: () => {},
  }
}

/**
 * The block under a mask. Dispose it.
 * @param last the block under the mask before, which is disposed of or taken over here
 * @param mask of zeros and ones, or any numbers in `simulate` mode; see `checkMask`
 * @throws MissingError BACKEND_MEMORY; nothing is left of `last` then either
 */
export function activateBlock(
  weights: BlockWeights,
  { headSize: K }: OptConfig,
  mask: LayerMask,
  hints: CostHints,
  last: ActiveBlock | null = null,
): ActiveBlock {
  const scope = new BufferScope(weights.backend)
  const { packsHeads } = hints
  const attention = { size: K, byRow: ['query', 'key', 'value'], byInput: 'out' } as const
  const ffn = { size: 1, byRow: ['fc1'], byInput: 'fc2' } as const
  const own: PackedHalf[] = []
  const keep = (half: ActiveHalf): ActiveHalf => {
    if (half.packed) own.push(half.packed)
    return half
  }
  const dispose = (kept: PackedHalf | null = null): void => {
    for (const packed of own) if (packed !== kept) packed.dispose()
    scope.dispose()
  }
  try {
    const heads = keep(activateHalf(scope, weights, attention, mask.heads, hints, packsHeads, null))
    const { packedNeurons = null } = last ?? {}
    const neurons = keep(activateHalf(scope, weights, ffn, mask.neurons, hints, true, packedNeurons))
    return {
      weights: { ...weights, ...heads.packed?.weights, ...neurons.packed?.weights },
      heads: heads.held,
      neurons: neurons.held,
      units: {
        heads: heads.units,
        channels: heads.rows,
        headFactors: heads.factors,
        neurons: neurons.rows,
        terms: neurons.terms,
        neuronFactors: neurons.factors,
      },
      strategies: { heads: heads.strategy, neurons: neurons.strategy },
      packedNeurons: neurons.packed,
      dispose,
    }
  } catch (error) {
    dispose()
    throw error
  } finally {
    last?.dispose(own.find((packed) => packed === last.packedNeurons))
  }
}

/** One half of a block under a mask. */
interface ActiveHalf {
  readonly strategy: ExecutionStrategy
  /** The matrices that take the place of the model's. */
  readonly packed: PackedHalf | null
  /** Units its matrices hold. */
  readonly held: number
  readonly units: Buffer | null
  /** The rows of the units. */
  readonly rows: Buffer | null
  /** The same in the order in which the input-major matrix adds them. */
  readonly terms: Buffer | null
  readonly factors: Buffer | null
}

/** Spare rows of packed matrices that masks to come may need: a layer may keep a few more units then. */
const SPARE_ROOM = 1.125

function activateHalf(
  scope: BufferScope,
  weights: BlockWeights,
  half: HalfShape,
  mask: Float32Array, // [U]
  hints: CostHints,
  mayPack: boolean,
  last: PackedHalf | null,
): ActiveHalf {
  const { mode, T, steps, changes } = hints
  const { size, byRow, byInput } = half
  const U = mask.length
  const all = {
    packed: null,
    held: U,
    units: null,
    rows: null,
    terms: null,
    factors: null,
  }
  if (mode === 'simulate') return { ...all, strategy: 'dense', factors: scope.upload(mask.slice()) }
  const chosen = chosenUnits(mask)
  if (chosen.length === U) return { ...all, strategy: 'dense' }
  const work = {
    matrices: byRow.length + 1,
    rows: U * size,
    chosen: chosen.length * size,
    runs: countRuns(chosen),
    fresh: last ? last.countFresh(chosen) / Math.max(1, chosen.length) : 1,
    rowBytes: rowBytes(weights[byInput].weight),
    T,
    steps,
  }
  const strategy = mode === 'auto' ? cheapestStrategy(work) : mode === 'pack' ? 'packed' : 'gather'
  if (strategy === 'dense') return { ...all, strategy, factors: scope.upload(mask.slice()) }
  const packed = strategy === 'packed' && mayPack ? pack(weights, half, chosen, mode, changes, last) : null
  if (packed) return { ...all, strategy, packed, held: chosen.length, terms: packed.terms }
  const rows = scope.upload(rowsOfUnits(chosen, size))
  const units = size === 1 ? rows : scope.upload(chosen)
  return { ...all, strategy: 'gather', units, rows, terms: rows }
}

/**
 * The half's matrices with the chosen units alone: those of the mask before brought up to this one, or made anew. Null
 * where there is no room for them and another strategy may be taken.
 * @throws MissingError BACKEND_MEMORY if it may not
 */
function pack(
  weights: BlockWeights,
  half: HalfShape,
  units: Int32Array,
  mode: MaskMode,
  changes: boolean,
  last: PackedHalf | null,
): PackedHalf | null {
  if (last?.follow(units)) return last
  try {
    const capacity = changes ? Math.ceil(units.length * SPARE_ROOM) : units.length
    return new PackedHalf(weights, half, units, capacity)
  } catch (error) {
    if (mode === 'auto' && error instanceof MissingError && error.code === 'BACKEND_MEMORY') return null
    throw error
  }
}
