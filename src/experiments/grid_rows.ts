/**
 * What the grid says of its cells: quality, what was skipped, and what each costs less than a reference that was named
 * beforehand.
 *
 * Quality is perplexity, KL(dense || masked) and how often the likeliest next token is that of dense, of the tokens after the
 * prompt. Windows of all seeds are taken together; errors and p are over the documents that they come from.
 *
 * A cell is compared window by window with static scores within layers after the same prompt, where these skip the same units
 * by the same share. The p of such a difference (results/paired_test.ts) is corrected by Holm's method for all that are made
 * with one budget.
 */
import { MOMENTS_CRITERION } from '../criteria/index.ts'
import type { ComparedCost } from '../evaluation/score_window.ts'
import {
  agreementOf,
  compareKl,
  klPerToken,
  measured as measuredRatio,
  natsPerToken,
  perplexityOf,
  skippedBy,
  type TestedDifference,
} from '../evaluation/tally.ts'
import type { MethodScore } from '../evaluation/window_evaluator.ts'
import type { Column, Plot, Row } from '../results/experiment_result.ts'
import { scoresOf, type MeasuredRun } from '../results/measured_run.ts'
import { holm } from '../results/paired_test.ts'
import { budgetOf, cellWords, isPeer, unitsOf, type Cell, type GridWindow } from './grid_cells.ts'

/** A score of a window that was compared with dense. */
export type ComparedScore = MethodScore & ComparedCost

/** A cell and its windows. */
export interface MeasuredCell {
  /** Null is dense. */
  readonly cell: Cell | null
  readonly scores: readonly ComparedScore[]
}

/** The cells of runs over windows of one shape, the windows of all runs together. */
export function poolRuns(runs: readonly MeasuredRun[]): MeasuredCell[] {
  const pooled = new Map<string, { cell: Cell | null; scores: ComparedScore[] }>()
  for (const run of runs)
    for (const one of run.methods) {
      const { method } = one
      const cell = method.planner === 'dense' ? null : { units: unitsOf(method), method }
      const key = JSON.stringify(method)
      const known = pooled.get(key) ?? { cell, scores: [] }
      pooled.set(key, known)
      known.scores.push(...(scoresOf(run, one) as ComparedScore[]))
    }
  return [...pooled.values()]
}

/** The columns of a row. @param apart whether shares of heads were asked for apart */
export const gridColumns = (apart: boolean): readonly Column[] => [
  { key: 'window', label: 'prompt + continuation' },
  { key: 'units', label: 'units' },
  { key: 'sparsity', label: 'asked', unit: '%', digits: 0 },
  ...(apart ? [{ key: 'headSparsity', label: 'asked, heads', unit: '%', digits: 0 }] : []),
  { key: 'planner', label: 'planner' },
  { key: 'every', label: 'decides' },
  { key: 'prompt', label: 'prompt' },
  { key: 'heads', label: 'heads', unit: '%', digits: 1 },
  { key: 'neurons', label: 'neurons', unit: '%', digits: 1 },
  { key: 'perplexity', label: 'ppl/token' },
  { key: 'perplexityError', label: '±' },
  { key: 'kl', label: 'KL', digits: 4 },
  { key: 'klError', label: '±', digits: 4 },
  { key: 'agreement', label: 'same best', unit: '%', digits: 1 },
  { key: 'agreementError', label: '±', digits: 1 },
  { key: 'overStatic', label: 'KL over static within layers', digits: 4 },
  { key: 'overStaticError', label: '±', digits: 4 },
  { key: 'overStaticP', label: 'p', digits: 4 },
  { key: 'speed', label: 'decode', unit: 'tokens/s', digits: 1 },
]

/** How windows of a shape are called. */
const nameOf = ({ prompt, continuation }: GridWindow): string => `${prompt} + ${continuation}`

/** Whether the planner of a row could be used, in whatever scope: these see the answer, or nothing. */
const isUsable = (planner: unknown): boolean =>
  !['dense', 'oracle', 'random'].includes(String(planner).split(',')[0])

/**
 * The rows of windows of a shape.
 * @param speeds tokens per second; null where they were not measured
 * @param apart whether shares of heads were asked for apart
 */
export function gridRows(
  window: GridWindow,
  measured: readonly MeasuredCell[],
  speeds: ReadonlyMap<Cell | null, number> | null,
  apart = false,
): Row[] {
  const differences = overReference(measured)
  return measured.map((one): Row => {
    const { cell, scores } = one
    const { heads, neurons } = skippedBy(scores)
    const perplexity = perplexityOf(natsPerToken(scores))
    const kl = measuredRatio(klPerToken(scores))
    const agreement = measuredRatio(agreementOf(scores))
    const over = differences.get(one)
    return {
      window: nameOf(window),
      units: cell?.units ?? null,
      sparsity: 100 * (cell?.method.sparsity ?? 0),
      ...(apart && { headSparsity: cell?.units === 'both' ? 100 * (cell.method.headSparsity ?? 0) : null }),
      ...(cell ? cellWords(cell.method) : { planner: 'dense', every: null, prompt: 'dense' }),
      heads: 100 * heads,
      neurons: 100 * neurons,
      perplexity: perplexity.value,
      perplexityError: perplexity.error,
      kl: kl.value,
      klError: kl.error,
      agreement: 100 * agreement.value,
      agreementError: agreement.error === null ? null : 100 * agreement.error,
      overStatic: over?.value ?? null,
      overStaticError: over ? measuredRatio(over).error : null,
      overStaticP: over?.p ?? null,
      speed: speeds?.get(cell) ?? null,
    }
  })
}

/** What each cell that has a reference costs more than it, with p corrected for all cells of its budget. */
function overReference(measured: readonly MeasuredCell[]): ReadonlyMap<MeasuredCell, TestedDifference> {
  const found = new Map<MeasuredCell, TestedDifference>()
  const budgets = Map.groupBy(
    measured.filter(({ cell }) => cell !== null),
    ({ cell }) => cell && `${cell.units} ${budgetOf(cell)}`,
  )
  for (const cells of budgets.values()) {
    const compared = cells.flatMap((one) => {
      const reference = cells.find((other) => isReference(one, other))
      return reference && reference !== one ? [{ one, ...compareKl(one.scores, reference.scores) }] : []
    })
    const corrected = holm(compared.map(({ p }) => p))
    compared.forEach(({ one, value, error }, i) => found.set(one, { value, error, p: corrected[i] }))
  }
  return found
}

/** Whether the second cell is what the first is compared with: static scores within layers, by the same budget and prompt. */
function isReference({ cell: one }: MeasuredCell, { cell: other }: MeasuredCell): boolean {
  if (!one || !other || !isPeer(one, other)) return false
  const { planner, scope, prefill, examples, criterion, compensate = 'none' } = other.method
  return (
    planner === 'static' &&
    scope === 'per-layer' &&
    prefill === one.method.prefill &&
    examples?.pruned === undefined &&
    compensate === 'none' &&
    criterion !== MOMENTS_CRITERION
  )
}

/**
 * For each budget and each share that is really skipped, as printed: the cell of the least KL, by how much it is ahead of the
 * second and of the reference. The windows that choose the cell are those that measure it.
 * @param rows of the cells, in their order
 */
export function gridFindings(rows: readonly Row[], measured: readonly MeasuredCell[]): string[] {
  const usable = rows
    .map((row, i) => ({ row, scores: measured[i].scores }))
    .filter(({ row }) => isUsable(row.planner))
  const groups = Map.groupBy(usable, ({ row }) => `${String(row.window)}, ${sayBudget(row)}`)
  return [...groups].flatMap(([budget, cells]) => {
    if (cells.length === 1) return []
    const [best, second] = cells.toSorted((a, b) => Number(a.row.kl) - Number(b.row.kl))
    const sayCell = ({ row }: typeof best): string =>
      `${String(row.planner)} (${String(row.every)}, ${String(row.prompt)} prompt)`
    const least = `${sayCell(best)} has the least KL of ${cells.length} cells, ${sayRatio(best.row.kl, best.row.klError)} nats per token`
    const { overStatic, overStaticError, overStaticP } = best.row
    const against = [
      sayLess(sayCell(second), compareKl(best.scores, second.scores)),
      ...(typeof overStatic === 'number'
        ? [
            sayLess('static within layers', {
              value: overStatic,
              error: Number(overStaticError ?? NaN),
              p: Number(overStaticP),
            }),
          ]
        : []),
    ]
    return [`${budget}: ${[least, ...against].join('; ')}.`]
  })
}

/** What was asked, and what is skipped of all units of the model. */
function sayBudget({ units, sparsity, headSparsity = null, heads, neurons }: Row): string {
  const percent = (share: Row[string]): string => `${Math.round(10 * Number(share)) / 10} %`
  const words = units === 'both' ? 'heads and neurons' : String(units)
  const asked =
    headSparsity === null
      ? `${percent(sparsity)} of ${words}`
      : `${percent(sparsity)} of neurons and ${percent(headSparsity)} of heads`
  const shares = [units !== 'neurons' && heads, units !== 'heads' && neurons].filter((one) => one !== false)
  return `${asked} (skipped of all: ${shares.map((share) => `${Number(share).toFixed(1)} %`).join(' and ')})`
}

function sayRatio(value: Row[string], error: Row[string]): string {
  return `${Number(value).toFixed(3)} ± ${typeof error === 'number' && !Number.isNaN(error) ? error.toFixed(3) : '?'}`
}

/** How much less a cell costs than another. */
function sayLess(than: string, { value, error, p }: TestedDifference): string {
  return `${sayRatio(-value, error)} less than ${than} (${sayP(p)})`
}

/** A p as people write it. */
export function sayP(p: number): string {
  return p < 0.001 ? 'p < 0.001' : `p = ${p.toFixed(3)}`
}

/** For each shape of windows and each kind of units: KL over sparsity, and over decode speed where that was measured. */
export function gridPlots(rows: readonly Row[]): Plot[] {
  const cells = rows.filter(({ planner }) => planner !== 'dense')
  const groups = Map.groupBy(cells, ({ window, units, headSparsity = null }) => {
    const heads = headSparsity === null ? '' : ` with ${Math.round(Number(headSparsity))} % of heads`
    return `${String(units)}${heads}, windows of ${String(window)}`
  })
  return [...groups].flatMap(([name, group]): Plot[] => {
    const plotOf = (title: string, key: 'sparsity' | 'speed', label: string): Plot => ({
      title: `${title}: ${name}`,
      kind: 'line',
      x: { label },
      y: { label: 'KL from dense, nats per token', scale: 'log' },
      series: seriesOf(group, key),
    })
    const quality = plotOf('Quality over sparsity', 'sparsity', 'sparsity of the ranked units (%)')
    const isTimed = group.some(({ speed }) => speed !== null)
    return isTimed
      ? [quality, plotOf('Quality against speed', 'speed', 'decode speed (tokens/s)')]
      : [quality]
  })
}

function seriesOf(rows: readonly Row[], key: 'sparsity' | 'speed'): Plot['series'] {
  const timed = rows.filter((row) => row[key] !== null)
  const nameOf = ({ planner, every, prompt }: Row): string =>
    `${String(planner)}, ${String(every)}, ${String(prompt)} prompt`
  const lines = Map.groupBy(timed, nameOf)
  return [...lines].map(([name, line]) => ({
    name,
    points: line.map((row) => ({
      // Places are written below the axis: a tenth of a token per second is enough.
      x: Math.round(10 * Number(row[key])) / 10,
      y: Number(row.kl),
      ...(row.klError !== null && { error: Number(row.klError) }),
    })),
  }))
}
