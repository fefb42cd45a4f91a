/**
 * Neurons side by side in bins, for layers that have more of them than a map has room; and what a bin holds, by who keeps
 * it: the planner, the oracle, both or neither.
 */
import type { UnitMask } from '../../masks/mask.ts'
import type { Unit } from './unit_facts.ts'

/** A run of units of one kind in one layer. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** At most `most` spans that cover 0 to `units` in order, none longer than another by more than one. */
export function binsOf(units: number, most: number): Span[] {
  const count = Math.min(units, most)
  return Array.from({ length: count }, (_, bin) => ({
    start: Math.floor((bin * units) / count),
    end: Math.floor(((bin + 1) * units) / count),
  }))
}

/** How many units of a span are kept by whom. */
export interface Tally {
  readonly both: number
  /** By the planner, though not by the oracle. */
  readonly extra: number
  /** By the oracle, though not by the planner. */
  readonly missed: number
  readonly neither: number
}

/**
 * Counts a span.
 * @param truth what the oracle keeps; without one whatever is kept counts as kept by both, and the rest by neither
 */
export function tallySpan(
  mask: UnitMask,
  truth: UnitMask | null,
  { kind, layer }: Pick<Unit, 'kind' | 'layer'>,
  { start, end }: Span,
): Tally {
  const first = layer * mask.shape[kind]
  const tally = { both: 0, extra: 0, missed: 0, neither: 0 }
  for (let place = first + start; place < first + end; place++) {
    const kept = mask[kind][place] !== 0
    const wanted = truth ? truth[kind][place] !== 0 : kept
    tally[kept ? (wanted ? 'both' : 'extra') : wanted ? 'missed' : 'neither']++
  }
  return tally
}
