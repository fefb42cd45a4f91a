/**
 * Units switched on or off by hand, over whatever a planner has decided.
 */
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import { placeOf, type Unit } from './unit_facts.ts'

/** What was switched; nothing at first. */
export class Switches {
  readonly #states = new Map<string, { readonly unit: Unit; readonly on: boolean }>()

  get size(): number {
    return this.#states.size
  }

  /** Switches a unit, or takes that back with null. */
  set(unit: Unit, on: boolean | null): void {
    const key = `${unit.kind} ${unit.layer} ${unit.index}`
    if (on === null) this.#states.delete(key)
    else this.#states.set(key, { unit, on })
  }

  /** What a unit was switched to; null if it was not. */
  get({ kind, layer, index }: Unit): boolean | null {
    return this.#states.get(`${kind} ${layer} ${index}`)?.on ?? null
  }

  clear(): void {
    this.#states.clear()
  }

  /** A mask with what was switched; the given one stays as it is. */
  apply(mask: UnitMask): UnitMask {
    const { shape, heads, neurons } = mask
    const changed = makeMask(shape, heads.slice(), neurons.slice())
    for (const { unit, on } of this.#states.values()) changed[unit.kind][placeOf(unit, mask)] = on ? 1 : 0
    return changed
  }
}
