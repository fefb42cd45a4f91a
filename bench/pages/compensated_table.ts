/**
 * What takes the place of skipped units, and what the prompt adds to it: cells of one grid that differ in nothing else.
 */
import { compareKl } from '../../src/evaluation/tally.ts'
import { cellWords } from '../../src/experiments/grid_cells.ts'
import type { MeasuredCell } from '../../src/experiments/grid_rows.ts'
import type { Method } from '../../src/results/method.ts'
import type { Grid } from './grid.ts'
import { markdownTable, pair } from './table.ts'

/** As rows of a grid say it. */
const PROMPT = ' with the prompt'

const head = ['planner', 'zero', 'mean', 'least squares', PROMPT.trim()]

/** Which column of the table a method is in. */
function columnOf({ compensate = 'none', promptShare = 0 }: Method): number {
  return promptShare > 0 ? 3 : ['none', 'mean', 'least-squares'].indexOf(compensate)
}

/** A line for each way of choosing units, a column for what takes their place: KL from dense, nats per token, least first. */
export function compensatedTable({ cells, rows }: Grid, asked: number): string {
  const found = rows.flatMap(({ kl, klError, sparsity }, i) => {
    const { cell } = cells[i]
    if (!cell || Math.round(Number(sparsity)) !== asked) return []
    const { method } = cell
    const { compensate: _, promptShare: __, ...rest } = method
    return [{ planner: cellWords(rest).planner, kl, column: columnOf(method), text: pair(kl, klError, 3) }]
  })
  const lines = [...Map.groupBy(found, ({ planner }) => planner)].map(([planner, own]) => ({
    least: Math.min(...own.map(({ kl }) => Number(kl))),
    texts: [planner, ...[0, 1, 2, 3].map((at) => own.find(({ column }) => column === at)?.text ?? '-')],
  }))
  return markdownTable(
    head,
    lines.toSorted((a, b) => a.least - b.least).map(({ texts }) => texts),
  )
}

/** One line of two grids over the same windows, which differ in how their moments were collected. */
export interface Weighing {
  readonly what: string
  readonly before: Grid
  readonly after: Grid
  readonly asked: number
  /** As rows of both grids name it. */
  readonly planner: string
}

/** KL from dense before and after, and the difference with the errors of pairs. */
export function weighingTable(lines: readonly Weighing[]): string {
  return markdownTable(
    ['', 'as they are', 'divided', 'difference'],
    lines.map(({ what, before, after, asked, planner }) => {
      const [old, now] = [before, after].map((grid) => grid.cells[grid.find(planner, asked)])
      const [was, is] = [before, after].map((grid) => grid.row(planner, asked))
      const { value, error } = compareKl(now.scores, old.scores)
      return [what, pair(was.kl, was.klError, 3), pair(is.kl, is.klError, 3), pair(value, error, 3)]
    }),
  )
}

/** One line of what the prompt adds: under a budget, a mask that the prompt decides beside one that it does not. */
export interface Context {
  readonly what: string
  readonly grid: Grid
  readonly asked: number
  /** As rows of the grid name them, without what takes the place of skipped units. */
  readonly fixed: string
  /** None where the prompt cannot decide so. */
  readonly contextual?: string
}

/**
 * By how much the prompt lowers KL from dense where least squares makes up for what is skipped: in the mask alone, in the moments alone, in
 * both; with the errors of pairs.
 */
export function contextTable(lines: readonly Context[]): string {
  return markdownTable(
    ['', 'neither', 'in the mask', 'in the moments', 'in both'],
    lines.map(({ what, grid, asked, contextual, fixed }) => {
      const cellOf = (planner: string, prompt = ''): MeasuredCell =>
        grid.cells[grid.find(`${planner}, least squares${prompt}`, asked)]
      const base = cellOf(fixed)
      const gain = (one: MeasuredCell): string => {
        const { value, error } = compareKl(one.scores, base.scores)
        return pair(-value, error, 3)
      }
      const { kl } = grid.row(`${fixed}, least squares`, asked)
      const [mask, both] = ['', PROMPT].map((prompt) => (contextual ? gain(cellOf(contextual, prompt)) : '-'))
      return [what, pair(kl, null, 3), mask, gain(cellOf(fixed, PROMPT)), both]
    }),
  )
}
