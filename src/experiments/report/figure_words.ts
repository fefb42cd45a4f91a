/**
 * A figure in words, for screen readers and for checks: what is drawn, and what could not be.
 */
import type { Plot, PlotPoint, PlotSeries } from '../../results/experiment_result.ts'
import { figure } from '../../results/cells.ts'

/** Beyond this, differences between numbers on an axis are no numbers themselves. */
const LARGEST = 1e100

/** A number as an axis has it: of less than 1 / LARGEST no ticks can be made. */
export function drawable(value: number): number {
  return Math.abs(value) < 1 / LARGEST ? 0 : value
}

/** Whether a point has a place in its figure: a number, and above 0 on a logarithmic axis. */
export function isDrawable(plot: Plot, { x, y }: PlotPoint): boolean {
  const placed = typeof x === 'string' || Math.abs(x) < LARGEST
  return placed && Math.abs(y) < LARGEST && (plot.y.scale !== 'log' || y > 1 / LARGEST)
}

/** Whether its error can be drawn. */
export function hasError({ error }: PlotPoint): boolean {
  return error !== undefined && error >= 0 && error < LARGEST
}

/** How many points have no place in the figure. */
export function countMissing(plot: Plot): number {
  return plot.series.flatMap(({ points }) => points).filter((point) => !isDrawable(plot, point)).length
}

/** The long description: axes, then each series from end to end. */
export function describePlot(plot: Plot): string {
  const kind = plot.kind === 'line' ? 'Lines' : 'Bars'
  const scale = plot.y.scale === 'log' ? ', on a logarithmic scale' : ''
  const axes = `${kind}: ${plot.y.label}${scale}, against ${plot.x.label}.`
  return [axes, ...plot.series.map((series) => describeSeries(plot, series))].join(' ')
}

function describeSeries(plot: Plot, { name, points }: PlotSeries): string {
  const drawn = points.filter((point) => isDrawable(plot, point))
  if (drawn.length === 0) return `${name}: nothing measured.`
  if (plot.kind === 'bar' || drawn.length <= 3)
    return `${name}: ${drawn.map((point) => `${place(point)} ${amount(point)}`).join(', ')}.`
  const first = drawn[0]
  const last = drawn[drawn.length - 1]
  const least = drawn.reduce((a, b) => (b.y < a.y ? b : a))
  const most = drawn.reduce((a, b) => (b.y > a.y ? b : a))
  const ends = `from ${amount(first)} at ${place(first)} to ${amount(last)} at ${place(last)}`
  return `${name}: ${ends}; least ${amount(least)} at ${place(least)}, most ${amount(most)} at ${place(most)}.`
}

/** Where a point stands on the first axis. */
export function place({ x }: PlotPoint): string {
  return String(x)
}

function amount({ y, error }: PlotPoint): string {
  return error === undefined ? figure(y) : `${figure(y)} ± ${figure(error)}`
}
