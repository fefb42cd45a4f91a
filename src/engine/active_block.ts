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
import { keyHeadOf } from '../ops/key_heads.ts'
import { MissingError } from '../tensor/errors.ts'
import type { ModelConfig } from './config.ts'
import { cheapestStrategy, countRuns, type ExecutionStrategy } from './mask_cost.ts'
import { rowBytes } from './matrix.ts'
import { PackedUnits, type UnitMatrices } from './packing.ts'
import { allUnits, chosenUnits, keyHeadsOf, rowsOfUnits, type LayerUnits } from './unit_lists.ts'
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
  /** Heads that q and out hold. */
  readonly heads: number
  /** Key heads that k and v hold; the cache has as many. */
  readonly keyHeads: number
  /** The key head of each head it holds; null where neighbours share one. */
  readonly keyHeadOf: Buffer | null // [H]
  /** Neurons that fc1, up and fc2 hold. */
  readonly neurons: number
  /** Of those it holds, which are computed. */
  readonly units: LayerUnits
  /** How its two halves carry out the mask. */
  readonly strategies: Readonly<Record<'heads' | 'neurons', ExecutionStrategy>>
  /** Its packed neurons, which the block under the next mask may take over. */
  readonly packedNeurons: PackedUnits | null
  /** Gives back what was made for it, but for packed neurons that another block took over. */
  dispose(kept?: PackedUnits | null): void
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
export function denseBlock(weights: BlockWeights, { heads, keyHeads, neurons }: ModelConfig): ActiveBlock {
  return {
    weights,
    heads,
    keyHeads,
    keyHeadOf: null,
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
  config: ModelConfig,
  mask: LayerMask,
  hints: CostHints,
  last: ActiveBlock | null = null,
): ActiveBlock {
  const scope = new BufferScope(weights.backend)
  const { packsHeads } = hints
  const { heads: H, keyHeads: G, headSize: K, gated } = config
  // Two matrices have rows for each head, and two for each key head.
  const attention = { size: K, byRow: ['query'], byInput: 'out', matrices: 2 + (2 * G) / H } as const
  const byRow = gated ? (['fc1', 'up'] as const) : (['fc1'] as const)
  const ffn = { size: 1, byRow, byInput: 'fc2', matrices: byRow.length + 1 } as const
  const own: PackedUnits[] = []
  const keep = <Part extends { readonly packed: PackedUnits | null }>(part: Part): Part => {
    if (part.packed) own.push(part.packed)
    return part
  }
  const dispose = (kept: PackedUnits | null = null): void => {
    for (const packed of own) if (packed !== kept) packed.dispose()
    scope.dispose()
  }
  try {
    const heads = keep(activateHalf(scope, weights, attention, mask.heads, hints, packsHeads, null))
    const keys = keep(activateKeys(scope, weights, config, heads, hints))
    const { packedNeurons = null } = last ?? {}
    const neurons = keep(activateHalf(scope, weights, ffn, mask.neurons, hints, true, packedNeurons))
    return {
      weights: {
        ...weights,
        ...heads.packed?.weights,
        ...keys.packed?.weights,
        ...neurons.packed?.weights,
      },
      heads: heads.held,
      keyHeads: keys.held,
      keyHeadOf: keys.keyHeadOf,
      neurons: neurons.held,
      units: {
        heads: heads.units,
        channels: heads.rows,
        keyHeads: keys.units,
        keyChannels: keys.rows,
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

/** A half of a block: its units, and about how many matrices have rows of theirs. */
interface Half extends UnitMatrices {
  readonly byInput: 'out' | 'fc2'
  readonly matrices: number
}

/** One half of a block under a mask. */
interface ActiveHalf {
  readonly strategy: ExecutionStrategy
  /** The units that are computed, ascending; null for all, or for all times factors. */
  readonly chosen: Int32Array | null
  /** The matrices that take the place of the model's. */
  readonly packed: PackedUnits | null
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
  half: Half,
  mask: Float32Array, // [U]
  hints: CostHints,
  mayPack: boolean,
  last: PackedUnits | null,
): ActiveHalf {
  const { mode, T, steps, changes } = hints
  const { size, byInput, matrices } = half
  const U = mask.length
  const all = {
    chosen: null,
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
    matrices,
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
  if (packed) return { ...all, strategy, chosen, packed, held: chosen.length, terms: packed.terms }
  const rows = scope.upload(rowsOfUnits(chosen, size))
  const units = size === 1 ? rows : scope.upload(chosen)
  return { ...all, strategy: 'gather', chosen, units, rows, terms: rows }
}

/** The key heads of a block under a mask of its heads. */
interface ActiveKeys {
  readonly packed: PackedUnits | null
  /** Key heads that its matrices hold. */
  readonly held: number
  readonly units: Buffer | null
  readonly rows: Buffer | null
  readonly keyHeadOf: Buffer | null
}

/** Key heads follow from heads: one is needed while any head of its group is. It is packed with them if it can be. */
function activateKeys(
  scope: BufferScope,
  weights: BlockWeights,
  { heads: H, keyHeads: G, headSize: K }: ModelConfig,
  { strategy, chosen, units, rows }: ActiveHalf,
  hints: CostHints,
): ActiveKeys {
  const all = { packed: null, held: G, units: null, rows: null, keyHeadOf: null }
  if (chosen === null) return all
  const { keyHeads, places } = keyHeadsOf(chosen, H, G)
  if (strategy === 'gather') {
    if (keyHeads.length === G) return all
    if (G === H) return { ...all, units, rows }
    return { ...all, units: scope.upload(keyHeads), rows: scope.upload(rowsOfUnits(keyHeads, K)) }
  }
  const matrices = { size: K, byRow: ['key', 'value'], byInput: null } as const
  const packed =
    keyHeads.length === G ? null : pack(weights, matrices, keyHeads, hints.mode, hints.changes, null)
  const held = packed ? keyHeads.length : G
  const each = packed ? places : places.map((place) => keyHeads[place])
  const isRegular = each.every((g, h) => g === keyHeadOf(null, h, held, each.length))
  return { ...all, packed, held, keyHeadOf: isRegular ? null : scope.upload(each) }
}

/**
 * Matrices with the chosen units alone: those of the mask before brought up to this one, or made anew. Null
 * where there is no room for them and another strategy may be taken.
 * @throws MissingError BACKEND_MEMORY if it may not
 */
function pack(
  weights: BlockWeights,
  matrices: UnitMatrices,
  units: Int32Array,
  mode: MaskMode,
  changes: boolean,
  last: PackedUnits | null,
): PackedUnits | null {
  if (last?.follow(units)) return last
  try {
    const capacity = changes ? Math.ceil(units.length * SPARE_ROOM) : units.length
    return new PackedUnits(weights, matrices, units, capacity)
  } catch (error) {
    if (mode === 'auto' && error instanceof MissingError && error.code === 'BACKEND_MEMORY') return null
    throw error
  }
}
