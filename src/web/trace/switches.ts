/**
 * Units that the user switched on or off: at every sparsity they override the mask of the planner.
 */
import type { UnitMask } from '../../masks/mask.ts'
import { switchUnits, type UnitSwitch } from '../engine/unit_switches.ts'
import type { Trace } from './trace.ts'
import type { Unit } from './unit_facts.ts'

/** Whether a unit can be switched in a text: not in the layers that run before a mask is decided. */
export function canSwitch(
  { layer }: Unit,
  { denseLayers, settings }: Pick<Trace, 'denseLayers' | 'settings'>,
): boolean {
  return layer >= (settings.planner === 'dense' ? 1 : denseLayers)
}

/** Whether a text was generated under these switches. */
export function isWrittenUnder(
  { switches }: Pick<Trace, 'switches'>,
  others: readonly UnitSwitch[],
): boolean {
  const own = new Switches(switches)
  return switches.length === others.length && others.every(({ unit, on }) => own.get(unit) === on)
}

/** The switched units; initially none. */
export class Switches {
  readonly #states = new Map<string, UnitSwitch>()

  constructor(switches: Iterable<UnitSwitch> = []) {
    for (const { unit, on } of switches) this.set(unit, on)
  }

  get size(): number {
    return this.#states.size
  }

  /** Each switched unit, and whether it is on. */
  get all(): UnitSwitch[] {
    return [...this.#states.values()]
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

  /** Those that a text like this can be generated under. */
  inText(trace: Pick<Trace, 'denseLayers' | 'settings'>): UnitSwitch[] {
    return this.all.filter(({ unit }) => canSwitch(unit, trace))
  }

  /** A copy of a mask with the switches applied. */
  apply(mask: UnitMask): UnitMask {
    return switchUnits(mask, this.all)
  }
}
