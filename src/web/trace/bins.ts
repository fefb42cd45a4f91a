/**
 * Bins of adjacent neurons, for layers with more neurons than the map can show, and counts of the units of a bin that are kept by
 * the planner, by the oracle, by both or by neither.
 */
import type { UnitMask } from '../../masks/mask.ts'
import type { Unit } from './unit_facts.ts'

/** A run of units of one kind in one layer. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** At most `max` spans that cover 0 to `units` in order; their lengths differ by at most one. */
export function binsOf(units: number, max: number): Span[] {
  const count = Math.min(units, max)
  return Array.from({ length: count }, (_, bin) => ({
    start: Math.floor((bin * units) / count),
    end: Math.floor(((bin + 1) * units) / count),
  }))
}

/** The units of a span, counted by what keeps them. */
export interface Tally {
  readonly both: number
  /** By the planner only. */
  readonly extra: number
  /** By the oracle only. */
  readonly missed: number
  readonly neither: number
}

/**
 * Counts a span.
 * @param oracle the mask of the oracle; without it every kept unit counts as kept by both, and the others as kept by neither
 */
export function tallySpan(
  mask: UnitMask,
  oracle: UnitMask | null,
  { kind, layer }: Pick<Unit, 'kind' | 'layer'>,
  { start, end }: Span,
): Tally {
  const first = layer * mask.shape[kind]
  const tally = { both: 0, extra: 0, missed: 0, neither: 0 }
  for (let place = first + start; place < first + end; place++) {
    const kept = mask[kind][place] !== 0
    const wanted = oracle ? oracle[kind][place] !== 0 : kept
    tally[kept ? (wanted ? 'both' : 'extra') : wanted ? 'missed' : 'neither']++
  }
  return tally
}
