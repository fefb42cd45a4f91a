/**
 * A section of a program as a sequence runs it: an instruction for each step, with the matrices that it reads and the units that
 * it computes.
 *
 * There are three execution strategies, which give the same numbers (a law) and take different time:
 * - dense: everything is computed and multiplied by the mask;
 * - gather: the matrices stay as they are, and rows of skipped units are passed over;
 * - packed: the rows of the units that remain are copied side by side once, and the layer is a smaller dense one from
 *   then on. Every later token reads forward through what it needs and through nothing else.
 *
 * Heads and neurons choose for themselves (`cheapestStrategy`), or are told by the mode of the sequence.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { valuesOf } from '../backends/calls.ts'
import type { LayerMask } from '../masks/planner.ts'
import { keyHeadOf } from '../ops/attention.ts'
import type { Value } from '../spec/program.ts'
import { MissingError } from '../tensor/errors.ts'
import { nameOption, type NameOption } from '../tensor/option.ts'
import { foldSite, type FoldedSite, type LayerCompensation } from './folded_site.ts'
import { cheapestStrategy, countRuns, type ExecutionStrategy } from './mask_cost.ts'
import { storageIn, type Matrix } from './storages/index.ts'
import { neededParts } from './needs.ts'
import { PackedUnits, type HeldWeights, type ProductNames, type UnitMatrices } from './packing.ts'
import { parametersOf, type HeadSite, type Section, type Step, type UnitSite } from './plan.ts'
import { chosenUnits, rowsOfUnits } from './unit_lists.ts'

/** How a mask is carried out. */
export const maskModes = [
  /** In each layer the way that the cost model expects to be fastest. */
  'auto',
  /** The weights of the units that are kept are copied together and multiplied as smaller matrices. */
  'pack',
  /** The rows of skipped units are passed over in place. */
  'skip',
  /** Everything is computed and multiplied by the mask, which may hold any numbers. Nothing is saved. */
  'simulate',
] as const
/** How the engine carries out a mask. */
export type MaskMode = (typeof maskModes)[number]
export const modeOption: NameOption<MaskMode> = nameOption('MODE', maskModes)

/** A step and what it reads and computes. */
export interface Instruction {
  readonly step: Step
  /** Numbers in a row of its result, of the units that are held. */
  readonly width: number
  /** What it multiplies by or looks up, or the weight and the bias of a norm. */
  readonly weight: Matrix | null
  readonly bias: Buffer | null
  /** The outputs that are computed, the inputs that are added up, or the heads: a list, null for all. */
  readonly rows: Buffer | null
  /** The key heads whose keys and values are kept, and that of each head: null for all, and where neighbours share one. */
  readonly keyHeads: Buffer | null
  readonly keyHeadOf: Buffer | null
  /** The factors of units; null if all are 1. */
  readonly factors: Buffer | null
}

/** A section under a mask. */
export interface ActiveLayer {
  readonly instructions: readonly Instruction[]
  /** How the mask of each of its sites is carried out. */
  readonly strategies: readonly ExecutionStrategy[]
  /** Its packed units, which the layer under the next mask may take over. */
  readonly packed: ReadonlyMap<UnitSite, PackedUnits>
  /** Of the weights that were made for its mask: packed ones, and those with skipped units folded in. */
  readonly bytes: number
  /** Gives back what was made for it, but for packed units that another one took over. */
  dispose(kept?: readonly PackedUnits[]): void
}

/** The inputs of the choice of a strategy, besides the mask. */
export interface CostHints {
  readonly mode: MaskMode
  /** Tokens of the pass in which the mask is decided. */
  readonly T: number
  /** Tokens expected after that pass, one at a time, under this mask. */
  readonly steps: number
  /** Whether there will be other masks. Then the keys and values of all heads are kept. */
  readonly changes: boolean
  /** Whether heads may be packed: the cache is still empty and the heads will not change, so it may hold just these. */
  readonly packsHeads: boolean
}

/** A section without a mask, or each of its units times a factor. Dispose it. */
export function denseLayer(
  { steps, sites }: Section,
  { backend, matrices }: HeldWeights,
  mask: LayerMask | null = null,
): ActiveLayer {
  const scope = new BufferScope(backend)
  const factorsOf = ({ step, isApart }: UnitSite): Buffer | null => {
    if (mask) return scope.upload(mask[step.kind].slice())
    return isApart ? scope.upload(new Float32Array(step.count).fill(1)) : null
  }
  const factors = new Map(sites.map((site) => [site.place, factorsOf(site)]))
  return {
    instructions: steps.map((step) => ({
      ...whole(step, matrices),
      factors: factors.get(step.place) ?? null,
    })),
    strategies: sites.map(() => 'dense'),
    packed: new Map(),
    bytes: 0,
    dispose: () => scope.dispose(),
  }
}

function whole(step: Step, matrices: ReadonlyMap<string, Matrix>): Instruction {
  const [weight = null, bias = null] = parametersOf(step.value).map(
    ({ name }) => matrices.get(name) as Matrix,
  )
  return {
    step,
    width: step.value.width,
    weight,
    bias: bias as Buffer | null,
    rows: null,
    keyHeads: null,
    keyHeadOf: null,
    factors: null,
  }
}

/**
 * A section under a mask. Dispose it.
 * @param mask of zeros and ones, or any numbers in `simulate` mode; see `checkMask`
 * @param last the section under the mask before, which is disposed of or taken over here
 * @param compensation what takes the place of what is skipped; null: zeros
 * @throws MissingError BACKEND_MEMORY; nothing is left of `last` then either
 */
export function activateLayer(
  section: Section,
  weights: HeldWeights,
  mask: LayerMask,
  hints: CostHints,
  last: ActiveLayer | null = null,
  compensation: LayerCompensation | null = null,
): ActiveLayer {
  const scope = new BufferScope(weights.backend)
  const instructions = section.steps.map((step) => whole(step, weights.matrices))
  const own: PackedUnits[] = []
  const folds: FoldedSite[] = []
  const dispose = (kept: readonly PackedUnits[] = []): void => {
    for (const packed of own) if (!kept.includes(packed)) packed.dispose()
    for (const fold of folds) fold.scope.dispose()
    scope.dispose()
  }
  try {
    const packed = new Map<UnitSite, PackedUnits>()
    const strategies = section.sites.map((site) => {
      const units = mask[site.step.kind]
      const fold = compensation && foldSite(site, weights, units, compensation, scope)
      if (fold) folds.push(fold)
      const held = fold?.weights ?? weights
      const change = new SiteMask(site, held, units, hints, { scope, own, instructions })
      // Packed rows of another mask were folded for that.
      const strategy = change.activate(compensation ? null : (last?.packed.get(site) ?? null))
      if (change.packed) packed.set(site, change.packed)
      if (fold) takeFolded(fold, change.packed !== null, instructions)
      return strategy
    })
    const made = [...packed.values(), ...folds.map((fold) => fold.scope)]
    const bytes = made.reduce((total, one) => total + one.bytes, 0)
    return { instructions, strategies, packed, bytes, dispose }
  } catch (error) {
    dispose()
    throw error
  } finally {
    last?.dispose(own)
  }
}

/**
 * Reads folded matrices and biases in place of the model's. Packed rows are copies, which may share scales with the matrix that
 * they were packed from.
 */
function takeFolded(
  { matrices, biases, scope }: FoldedSite,
  isPacked: boolean,
  instructions: Instruction[],
): void {
  for (const [place, weight] of matrices)
    if (isPacked) scope.free(valuesOf(weight))
    else instructions[place - 1] = { ...instructions[place - 1], weight }
  for (const [place, bias] of biases) instructions[place - 1] = { ...instructions[place - 1], bias }
}

/** The buffers and instructions that the masks of a section add to. */
interface Layer {
  readonly scope: BufferScope
  readonly own: PackedUnits[]
  readonly instructions: Instruction[]
}

/** Spare rows of packed matrices that masks to come may need: a layer may keep a few more units then. */
const SPARE_ROOM = 1.125

/** The mask of one site on its way into the instructions of a layer. */
class SiteMask {
  readonly #site: UnitSite
  readonly #weights: HeldWeights
  readonly #mask: Float32Array // [U]
  readonly #hints: CostHints
  readonly #layer: Layer
  /** The matrices that take the place of the model's. */
  packed: PackedUnits | null = null

  constructor(site: UnitSite, weights: HeldWeights, mask: Float32Array, hints: CostHints, layer: Layer) {
    this.#site = site
    this.#weights = weights
    this.#mask = mask
    this.#hints = hints
    this.#layer = layer
  }

  /** @param last its packed units under the mask before */
  activate(last: PackedUnits | null): ExecutionStrategy {
    const { step, place, isSkippable, isApart } = this.#site
    const { mode } = this.#hints
    const { scope } = this.#layer
    const chosen = chosenUnits(this.#mask)
    const isWhole = chosen.length === step.count && mode !== 'simulate'
    const strategy = isWhole || mode === 'simulate' || !isSkippable ? 'dense' : this.#choose(chosen, last)
    if (strategy === 'dense') {
      if (!isWhole || isApart) this.#set(place, { factors: scope.upload(this.#mask.slice()) })
      return strategy
    }
    if (strategy === 'packed' && this.#pack(chosen, last)) return strategy
    this.#gather(chosen)
    return 'gather'
  }

  #choose(chosen: Int32Array, last: PackedUnits | null): ExecutionStrategy {
    const { step, size, makers, readers, attention } = this.#site
    const { mode, T, steps } = this.#hints
    if (mode !== 'auto') return mode === 'pack' ? 'packed' : 'gather'
    const rows = [...makers, ...(attention?.makers ?? [])].reduce((sum, { value }) => sum + value.width, 0)
    return cheapestStrategy({
      matrices: rows / step.width + readers.length,
      rows: step.width,
      chosen: chosen.length * size,
      runs: countRuns(chosen),
      fresh: last ? last.countFresh(chosen) / Math.max(1, chosen.length) : 1,
      rowBytes: storageIn(this.#weightOf(readers[0])).rowBytes(readers[0].value.width, 'inputs'),
      T,
      steps,
    })
  }

  /** Rows of skipped units are passed over. */
  #gather(chosen: Int32Array): void {
    const { step, place, size, makers, readers, attention, isApart } = this.#site
    const { scope } = this.#layer
    const rows = scope.upload(rowsOfUnits(chosen, size))
    for (const one of [...makers, ...readers]) this.#set(one.place, { rows })
    if (isApart) this.#set(place, { factors: scope.upload(this.#mask.slice()) })
    if (!attention) return
    const { keyHeads: G } = attention
    const heads = size === 1 ? rows : scope.upload(chosen)
    const { needed } = neededParts(chosen, step.count, G)
    const isWhole = needed.length === G || this.#hints.changes
    const keyHeads = isWhole ? null : G === step.count ? heads : scope.upload(needed)
    this.#set(attention.step.place, { rows: heads, keyHeads })
    if (isWhole) return
    const keyRows = G === step.count ? rows : scope.upload(rowsOfUnits(needed, size))
    for (const one of attention.makers) this.#set(one.place, { rows: keyRows })
  }

  /** Rows of chosen units are copied side by side; false where they cannot be. */
  #pack(chosen: Int32Array, last: PackedUnits | null): boolean {
    const { step, place, size, makers, readers, attention, isApart, isPackable } = this.#site
    const { packsHeads } = this.#hints
    // What is read elsewhere too is computed whole.
    if (isApart || !isPackable || makers.length === 0 || (attention && !packsHeads)) return false
    const packed = this.#packUnits({ size, byRow: names(makers), byInput: names(readers) }, chosen, last)
    if (!packed) return false
    this.packed = packed
    this.#take(packed, [...makers, ...readers])
    for (const reader of readers) this.#set(reader.place, { rows: packed.terms })
    for (const { need, place: at } of this.#layer.instructions.map((one) => one.step))
      if (need?.at === step && !attention?.places.has(at)) this.#set(at, { width: chosen.length * size })
    this.#set(place, { width: chosen.length * size })
    if (attention) this.#packKeys(attention, chosen)
    return true
  }

  /** Key heads follow from heads: one is needed while any head of its group is. */
  #packKeys({ step, keyHeads: G, makers, places: stored }: HeadSite, chosen: Int32Array): void {
    const { size } = this.#site
    const { needed, places } = neededParts(chosen, this.#mask.length, G)
    const matrices = { size, byRow: names(makers), byInput: [] }
    const packed = needed.length === G ? null : this.#packUnits(matrices, needed, null)
    const held = packed ? needed.length : G
    if (packed) {
      this.#take(packed, makers)
      for (const at of stored) this.#set(at, { width: held * size })
    }
    const each = packed ? places : places.map((at) => needed[at])
    const isRegular = each.every((g, h) => g === keyHeadOf(null, h, held, each.length))
    this.#set(step.place, { keyHeadOf: isRegular ? null : this.#layer.scope.upload(each) })
  }

  /**
   * Matrices with the chosen units alone: those of the mask before brought up to this one, or made anew. Null
   * where there is no room for them and another strategy may be taken.
   * @throws MissingError BACKEND_MEMORY if it may not
   */
  #packUnits(matrices: UnitMatrices, units: Int32Array, last: PackedUnits | null): PackedUnits | null {
    const { mode, changes } = this.#hints
    const { own } = this.#layer
    if (last?.follow(units)) {
      own.push(last)
      return last
    }
    try {
      const capacity = changes ? Math.ceil(units.length * SPARE_ROOM) : units.length
      const packed = new PackedUnits(this.#weights, matrices, units, capacity)
      own.push(packed)
      return packed
    } catch (error) {
      if (mode === 'auto' && error instanceof MissingError && error.code === 'BACKEND_MEMORY') return null
      throw error
    }
  }

  #take(packed: PackedUnits, steps: readonly Step[]): void {
    for (const { place, value } of steps) this.#set(place, packed.linear(nameOf(value)))
  }

  #weightOf({ value }: Step): Matrix {
    return this.#weights.matrices.get(nameOf(value)) as Matrix
  }

  #set(place: number, change: Partial<Instruction>): void {
    const { instructions } = this.#layer
    instructions[place - 1] = { ...instructions[place - 1], ...change }
  }
}

function names(steps: readonly Step[]): ProductNames[] {
  return steps.map(({ value }) => {
    const [weight, bias = null] = parametersOf(value).map(({ name }) => name)
    return { weight, bias }
  })
}

function nameOf(value: Value): string {
  return parametersOf(value)[0].name
}
