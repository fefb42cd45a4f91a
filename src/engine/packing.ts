/**
 * Packing: the weights of the units a mask keeps, copied side by side.
 *
 * Scattered rows are slow to read, token after token: each jump loses what was fetched ahead. A mask that stays is worth
 * one walk over them. What is packed has the storage of what it was packed from, and is used like any matrix.
 *
 * When the mask changes, only rows that changed are written (packed_slots.ts). Rows are then out of order, and `terms`
 * says in which order the input-major matrix is to be added up; when that is true of too many, all are packed anew.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import { PackedSlots, type SlotChange } from './packed_slots.ts'
import { storageIn, type Matrix } from './storages/index.ts'
import { rowsOfUnits } from './unit_lists.ts'

/** Where the parameters of a section are. */
export interface HeldWeights {
  readonly backend: Backend
  readonly matrices: ReadonlyMap<string, Matrix>
}

/** A matrix and what is added after it, if anything is. */
interface Linear {
  readonly weight: Matrix
  readonly bias: Buffer | null // [O]
}

/** A product by the names of its parameters. */
export interface ProductNames {
  readonly weight: string
  readonly bias: string | null
}

/** Matrices that have the same units, and what a unit is in them. */
export interface UnitMatrices {
  /** Rows of a matrix that belong to a unit. */
  readonly size: number
  /** Stored one row per output: a unit's rows and their biases. */
  readonly byRow: readonly ProductNames[]
  /** Stored one row per input: a unit's rows; their biases are no unit's. */
  readonly byInput: readonly ProductNames[]
}

/** The share of rows that may be out of order before all are packed anew. */
const MAX_OUT_OF_ORDER = 0.25

/** The packed matrices of some units of a layer. Dispose it. */
export class PackedUnits {
  readonly #matrices: UnitMatrices
  readonly #from: HeldWeights
  /** With room for `capacity` units, by the names of weights. */
  readonly #room: ReadonlyMap<string, Linear>
  readonly #held = new Map<string, Linear>()
  readonly #capacity: number
  readonly #scope: BufferScope
  #slots: PackedSlots
  #terms: Buffer | null = null

  /**
   * @param units ascending
   * @param capacity units there is to be room for
   * @throws MissingError BACKEND_MEMORY
   */
  constructor(from: HeldWeights, matrices: UnitMatrices, units: Int32Array, capacity: number) {
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

  /** Bytes of its matrices, of all that there is room for. */
  get bytes(): number {
    return this.#scope.bytes
  }

  /** How many of these units it does not hold. */
  countFresh(units: Int32Array): number {
    return this.#slots.countFresh(units)
  }

  /** A matrix by the name of its weight, of as many rows as are held. */
  linear(weight: string): Linear {
    return this.#held.get(weight) as Linear
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

  #allocate(): Map<string, Linear> {
    const { byRow, byInput, size } = this.#matrices
    const rows = this.#capacity * size
    const like = (names: ProductNames, hasRows: boolean): [string, Linear] => {
      const { weight, bias } = this.#whole(names)
      const own = bias && hasRows ? this.#scope.allocate('f32', [rows], 'anything') : bias
      return [names.weight, { weight: storageIn(weight).room(this.#scope, weight, rows), bias: own }]
    }
    return new Map([
      ...byRow.map((names) => like(names, true)),
      ...byInput.map((names) => like(names, false)),
    ])
  }

  #whole({ weight, bias }: ProductNames): Linear {
    const { matrices } = this.#from
    return {
      weight: matrices.get(weight) as Matrix,
      bias: bias === null ? null : (matrices.get(bias) as Buffer),
    }
  }

  #copy({ slots, units }: Omit<SlotChange, 'slots'> & { readonly slots: Int32Array | null }): void {
    const { byRow, byInput, size } = this.#matrices
    const { backend } = this.#from
    const rows = this.count * size
    const held = (): Int32Array => rowsOfUnits(this.#slots.units, size)
    BufferScope.within(backend, (lists) => {
      const to = slots && lists.upload(rowsOfUnits(slots, size))
      const copied = lists.upload(rowsOfUnits(units, size))
      const copy = (names: ProductNames, hasRows: boolean): void => {
        const room = this.#room.get(names.weight) as Linear
        const whole = this.#whole(names)
        const storage = storageIn(whole.weight)
        const before = this.#held.get(names.weight)?.weight
        const weight = storage.firstRows(this.#scope, room.weight, rows, held, before)
        storage.copyRows(backend, weight, whole.weight, to, copied)
        const bias = room.bias && hasRows ? backend.view(room.bias, [rows]) : room.bias
        if (bias && whole.bias && hasRows) storageIn(bias).copyRows(backend, bias, whole.bias, to, copied)
        this.#held.set(names.weight, { weight, bias })
      }
      for (const names of byRow) copy(names, true)
      for (const names of byInput) copy(names, false)
    })
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
