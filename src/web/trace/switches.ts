/**
 * Units that the user switched on or off: at every sparsity they override the mask of the planner.
 */
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import { placeOf, type Unit } from './unit_facts.ts'

/** The switched units; initially none. */
export class Switches {
  readonly #states = new Map<string, { readonly unit: Unit; readonly on: boolean }>()

  get size(): number {
    return this.#states.size
  }

  /** Each switched unit, and whether it is on. */
  get all(): Iterable<{ readonly unit: Unit; readonly on: boolean }> {
    return this.#states.values()
  }

  /** Switches a unit; null removes the switch. */
  set(unit: Unit, on: boolean | null): void {
    const key = `${unit.kind} ${unit.layer} ${unit.index}`
    if (on === null) this.#states.delete(key)
    else this.#states.set(key, { unit, on })
  }

  /** The state a unit was switched to; null if it was not. */
  get({ kind, layer, index }: Unit): boolean | null {
    return this.#states.get(`${kind} ${layer} ${index}`)?.on ?? null
  }

  clear(): void {
    this.#states.clear()
  }

  /** A copy of a mask with the switches applied. */
  apply(mask: UnitMask): UnitMask {
    const { shape, heads, neurons } = mask
    const changed = makeMask(shape, heads.slice(), neurons.slice())
    for (const { unit, on } of this.#states.values()) changed[unit.kind][placeOf(unit, mask)] = on ? 1 : 0
    return changed
  }
}
