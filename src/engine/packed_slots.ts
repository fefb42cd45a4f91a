/**
 * Which unit stands in which row of packed matrices, when the mask they follow changes.
 *
 * A unit that stays keeps its slot, and a new one takes the slot of one that left, so that only rows that changed are
 * written. Units are then no longer in ascending order; `order` lists the slots as their units ascend, which is the order
 * their terms are added in.
 */

/** The changes of packed rows under a new mask. */
export interface SlotChange {
  /** Slots to be written, ascending, and the unit each receives. */
  readonly slots: Int32Array
  readonly units: Int32Array
}

/** The slots of one packed half. */
export class PackedSlots {
  /** The unit in each slot. */
  #units: Int32Array

  /** @param units ascending; unit i of the list stands in slot i */
  constructor(units: Int32Array) {
    this.#units = units.slice()
  }

  /** The unit in each slot. */
  get units(): Int32Array {
    return this.#units
  }

  /** How many slots are in use: those from 0 on. */
  get count(): number {
    return this.#units.length
  }

  /** How many of these units have no slot. */
  countFresh(units: Int32Array): number {
    const held = new Set(this.#units)
    return units.reduce((fresh, unit) => fresh + Number(!held.has(unit)), 0)
  }

  /** Makes room for other units, as many as there are; says what has to be written. @param wanted ascending */
  change(wanted: Int32Array): SlotChange {
    const old = this.#units
    const isWanted = new Set(wanted)
    const next = new Int32Array(wanted.length)
    const placed = new Set<number>()
    const free: number[] = []
    for (let slot = 0; slot < next.length; slot++)
      if (slot < old.length && isWanted.has(old[slot])) placed.add((next[slot] = old[slot]))
      else free.push(slot)
    const units = wanted.filter((unit) => !placed.has(unit))
    free.forEach((slot, i) => (next[slot] = units[i]))
    this.#units = next
    return { slots: Int32Array.from(free), units }
  }

  /** The slots as their units ascend; null where that is 0, 1, 2, ... */
  order(): Int32Array | null {
    const units = this.#units
    const order = Int32Array.from(units.keys())
    if (order.every((slot) => slot === 0 || units[slot] > units[slot - 1])) return null
    return order.sort((a, b) => units[a] - units[b])
  }
}
