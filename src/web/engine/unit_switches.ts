/**
 * Units that are switched on or off by hand: in the layers that a planner decides on, they override its mask.
 */
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import { UsageError } from '../../tensor/errors.ts'
import { hasUnit, placeOf, type Unit } from '../trace/unit_facts.ts'

/** A switched unit, and whether it is on. */
export interface UnitSwitch {
  readonly unit: Unit
  readonly on: boolean
}

/** A copy of a mask with units switched. */
export function switchUnits(mask: UnitMask, switches: Iterable<UnitSwitch>): UnitMask {
  const { shape, heads, neurons } = mask
  const changed = makeMask(shape, heads.slice(), neurons.slice())
  for (const { unit, on } of switches) changed[unit.kind][placeOf(unit, mask)] = on ? 1 : 0
  return changed
}

/**
 * Those of some switches that a text can be generated with: its first layers have run before a mask is decided.
 * @param denseLayers dense layers of the planner, from the first; null without a planner, where only layer 0 runs before
 * @throws UsageError OPTIONS for a unit that the model does not have
 */
export function switchesInText(
  switches: readonly UnitSwitch[],
  shape: UnitMask['shape'],
  denseLayers: number | null,
): UnitSwitch[] {
  const other = switches.find(({ unit }) => !hasUnit(shape, unit))?.unit
  if (other)
    throw new UsageError(
      'OPTIONS',
      `switches: expected units of the model, got ${other.kind} ${other.index} of layer ${other.layer}`,
    )
  return switches.filter(({ unit }) => unit.layer >= (denseLayers ?? 1))
}
