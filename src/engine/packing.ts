/**
 * Packing: the weights of the units a mask keeps, copied side by side.
 *
 * Scattered rows are slow to read, token after token: each jump loses what was fetched ahead. A mask that stays is worth
 * one walk over them. What is packed has the storage of what it was packed from, and is used like any matrix.
 *
 * When the mask changes, only rows that changed are written (packed_slots.ts). Rows are then out of order, and `terms`
 * says in which order the input-major matrix is to be added up; when that is true of too many, all are packed anew.
 */
import type { Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { blocksOfInputs, copyRows, hasBlocks, likeMatrix, matrixRows, type Linear } from './matrix.ts'
import { PackedSlots, type SlotChange } from './packed_slots.ts'
import { rowsOfUnits } from './unit_lists.ts'
import type { BlockWeights } from './weights.ts'

/** Matrices of a block that have the same units, and what a unit is in them. */
export interface UnitMatrices {
  /** Rows of a matrix that belong to a unit. */
  readonly size: number
  /** Stored one row per output: a unit's rows and their biases. */
  readonly byRow: readonly ('query' | 'key' | 'value' | 'fc1' | 'up')[]
  /** Stored one row per input: a unit's rows; its bias is no unit's. */
  readonly byInput: 'out' | 'fc2' | null
}

type MatrixName = UnitMatrices['byRow'][number] | NonNullable<UnitMatrices['byInput']>

function namesIn({ byRow, byInput }: Pick<UnitMatrices, 'byRow' | 'byInput'>): MatrixName[] {
  return byInput ? [...byRow, byInput] : [...byRow]
}

/** The share of rows that may be out of order before all are packed anew. */
const MAX_OUT_OF_ORDER = 0.25

/** The packed matrices of some units of a block. Dispose it. */
export class PackedUnits {
  readonly #matrices: UnitMatrices
  readonly #from: BlockWeights
  /** With room for `capacity` units. */
  readonly #room: Partial<BlockWeights>
  #weights: Partial<BlockWeights> = {}
  readonly #capacity: number
  readonly #scope: BufferScope
  #slots: PackedSlots
  #terms: Buffer | null = null
  /** The block of each row of an input-major int4 matrix. */
  #blocks: Buffer | null = null

  /**
   * @param units ascending
   * @param capacity units there is to be room for
   * @throws MissingError BACKEND_MEMORY
   */
  constructor(from: BlockWeights, matrices: UnitMatrices, units: Int32Array, capacity: number) {
    this.#from = from
    this.#matrices = matrices
    this.#capacity = Math.max(capacity, units.length)
    this.#scope = new BufferScope(from.backend)
    try {
      this.#room = this.#allocate()
      this.#slots = new PackedSlots(units)
      this.#copy({ slots: null, units })
    } catch (error) {
      this.#scope.dispose()
      throw error
    }
  }

  /** Units held. */
  get count(): number {
    return this.#slots.count
  }

  /** How many of these units it does not hold. */
  countFresh(units: Int32Array): number {
    return this.#slots.countFresh(units)
  }

  /** The matrices, of as many rows as are held. */
  get weights(): Partial<BlockWeights> {
    return this.#weights
  }

  /** The rows of the input-major matrix in the order they are to be added; null where they are in order. */
  get terms(): Buffer | null {
    return this.#terms
  }

  /** Follows a mask that changed; false if there is no room for so many units. @param units ascending */
  follow(units: Int32Array): boolean {
    if (units.length > this.#capacity) return false
    const change = this.#slots.change(units)
    const order = this.#slots.order()
    if (order && countJumps(order) > MAX_OUT_OF_ORDER * units.length) {
      this.#slots = new PackedSlots(units)
      this.#copy({ slots: null, units })
      this.#setTerms(null)
    } else {
      this.#copy(change)
      this.#setTerms(order)
    }
    return true
  }

  dispose(): void {
    this.#scope.dispose()
  }

  #allocate(): Partial<BlockWeights> {
    const { byRow, byInput, size } = this.#matrices
    const from = this.#from
    const rows = this.#capacity * size
    const like = (name: MatrixName): Linear => {
      const { weight, bias } = from[name] as Linear
      const own = bias && name !== byInput ? this.#scope.allocate('f32', [rows], 'anything') : bias
      return { weight: likeMatrix(this.#scope, weight, rows), bias: own }
    }
    return Object.fromEntries(namesIn({ byRow, byInput }).map((name) => [name, like(name)]))
  }

  #copy({ slots, units }: Omit<SlotChange, 'slots'> & { readonly slots: Int32Array | null }): void {
    const { byRow, byInput, size } = this.#matrices
    const from = this.#from
    const { backend } = from
    const rows = this.count * size
    this.#setBlocks()
    const lists = new BufferScope(backend)
    try {
      const to = slots && lists.upload(rowsOfUnits(slots, size))
      const copied = lists.upload(rowsOfUnits(units, size))
      for (const name of namesIn({ byRow, byInput })) {
        const room = this.#room[name] as Linear
        const whole = from[name] as Linear
        const weight = matrixRows(backend, room.weight, rows, this.#blocks)
        copyRows(backend, weight, whole.weight, to, copied)
        const bias = room.bias && name !== byInput ? backend.view(room.bias, [rows]) : room.bias
        if (bias && whole.bias && name !== byInput) copyRows(backend, bias, whole.bias, to, copied)
        this.#weights = { ...this.#weights, [name]: { weight, bias } }
      }
    } finally {
      lists.dispose()
    }
  }

  /** Rows of int4 inputs say which block they are of. */
  #setBlocks(): void {
    const { byInput, size } = this.#matrices
    if (!byInput || !hasBlocks(this.#from[byInput].weight)) return
    if (this.#blocks) this.#scope.free(this.#blocks)
    this.#blocks = this.#scope.upload(blocksOfInputs(rowsOfUnits(this.#slots.units, size)))
  }

  #setTerms(order: Int32Array | null): void {
    if (this.#terms) this.#scope.free(this.#terms)
    this.#terms = order && this.#scope.upload(rowsOfUnits(order, this.#matrices.size))
  }
}

/** How often a list does not go on with the next number. */
function countJumps(list: Int32Array): number {
  let jumps = 0
  for (let i = 1; i < list.length; i++) if (list[i] !== list[i - 1] + 1) jumps++
  return jumps
}
