/**
 * The grid: every planner that decides which units to skip, on one model, the same windows, and the same budgets.
 *
 * A row is a cell (grid_cells.ts) on windows of one shape. Quality is perplexity, KL(dense || masked) and how often the
 * likeliest next token is that of dense, of the tokens after the prompt; each with one standard error over windows, those of
 * all seeds together. KL is also compared window by window with static scores of the same prompt, and with griffin, wherever
 * these have the same budget.
 *
 * Decode speed is measured once, after the prompt of the first window, in interleaved rounds, on a machine that may do other
 * things too: the load before and after is part of what is said.
 */
import { measureMethods, measureSpeeds } from '../evaluation/cache/measure.ts'
import type { ExperimentCache } from '../evaluation/cache/experiment_cache.ts'
import type { ComparedCost } from '../evaluation/score_window.ts'
import type { Settings } from '../evaluation/settings.ts'
import {
  agreementOf,
  compareKl,
  klPerToken,
  natsPerToken,
  perplexityOf,
  skippedBy,
} from '../evaluation/tally.ts'
import type { MethodScore } from '../evaluation/window_evaluator.ts'
import { machineLoad } from '../platform/platform.ts'
import { percent } from '../results/cells.ts'
import type { Column, Plot, Row } from '../results/experiment_result.ts'
import { denseMethod } from '../results/method.ts'
import type { Ratio } from '../results/ratio.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Experiment, ExperimentContext, Finding } from './experiment.ts'
import { cellWords, gridCells, isPeer, type Cell, type GridWindow, type Units } from './grid_cells.ts'

/** A score of a window that was compared with dense. */
export type ComparedScore = MethodScore & ComparedCost

/** A cell and its windows. */
export interface MeasuredCell {
  /** Null is dense. */
  readonly cell: Cell | null
  readonly scores: readonly ComparedScore[]
}

const columns: readonly Column[] = [
  { key: 'window', label: 'prompt + continuation' },
  { key: 'units', label: 'units' },
  { key: 'sparsity', label: 'asked', unit: '%', digits: 0 },
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
  { key: 'overStatic', label: 'KL over static', digits: 4 },
  { key: 'overStaticError', label: '±', digits: 4 },
  { key: 'overGriffin', label: 'KL over griffin', digits: 4 },
  { key: 'overGriffinError', label: '±', digits: 4 },
  { key: 'speed', label: 'decode', unit: 'tokens/s', digits: 1 },
]

/** See the head of this file. */
export const grid: Experiment = {
  name: 'grid',
  title: 'When and by what to decide which units to skip',
  asks: 'Which planner costs least at the same budget, on the same windows: deciding once, now and then or at every token, by a predictor, the prompt, static scores or magnitudes? (Not in the paper.)',
  takesSparsity: true,
  async run(context): Promise<Finding> {
    const { settings, cache, grid: choice = {} } = context
    const { windows = windowsOf(settings), speed = true } = choice
    const cells = gridCells({ model: cache.model, settings, predictors: cache.options.predictors, choice })
    if (cells.length === 0)
      throw new UsageError('GRID', 'grid: expected at least one cell that a planner accepts, got none')
    const timed = speed ? await measureCellSpeeds(context, cells) : null
    const rows: Row[] = []
    const findings: string[] = []
    for (const window of windows) {
      const measured = await measureWindow(context, window, cells)
      rows.push(...gridRows(window, measured, timed?.speeds ?? null))
      findings.push(...gridFindings(window, measured))
    }
    return {
      columns,
      rows,
      plots: gridPlots(rows),
      paper: null,
      findings: timed ? [...findings, timed.words] : findings,
    }
  },
}

/** The windows of the settings, a short prompt with a long continuation of the same length together, and the reverse. */
function windowsOf({ prompt, continuation }: Settings): GridWindow[] {
  const whole = prompt + continuation
  const short = whole >> 3
  return [
    { prompt, continuation },
    { prompt: short, continuation: whole - short },
    { prompt: whole - short, continuation: short },
  ]
}

const nameOf = ({ prompt, continuation }: GridWindow): string => `${prompt} + ${continuation}`

/** Every cell on the windows of a shape, dense first. */
async function measureWindow(
  { cache, settings, seeds, openCache }: ExperimentContext,
  window: GridWindow,
  cells: readonly Cell[],
): Promise<MeasuredCell[]> {
  const { prompt, continuation } = window
  const isSame = prompt === cache.options.prompt && continuation === cache.options.continuation
  const own = isSame ? cache : await openCache({ prompt, continuation })
  try {
    return await scoreCells(own, cells, settings.evaluation, seeds)
  } finally {
    if (!isSame) await own.dispose()
  }
}

async function scoreCells(
  cache: ExperimentCache,
  cells: readonly Cell[],
  count: number,
  seeds: readonly number[],
): Promise<MeasuredCell[]> {
  const all = [null, ...cells]
  const methods = all.map((cell) => cell?.method ?? denseMethod)
  const scores = all.map((): ComparedScore[] => [])
  for (const seed of seeds) {
    const measured = await measureMethods(cache, methods, count, seed, { compared: true })
    for (const [i, one] of measured.entries()) scores[i].push(...(one.scores as readonly ComparedScore[]))
  }
  return all.map((cell, i) => ({ cell, scores: scores[i] }))
}

/** The speed of each cell by its method, and what is said of all. The oracle knows the answer, so its speed is none. */
async function measureCellSpeeds(
  { cache, settings, seeds }: ExperimentContext,
  cells: readonly Cell[],
): Promise<{ readonly speeds: ReadonlyMap<Cell | null, number>; readonly words: string }> {
  const timed = [null, ...cells.filter(({ method }) => method.planner !== 'oracle')]
  const methods = timed.map((cell) => cell?.method ?? denseMethod)
  const { decode, evaluation } = settings
  const before = machineLoad()
  const found = await measureSpeeds(cache, methods, decode, evaluation, seeds[0])
  const load = [before, machineLoad()].map((one) => one?.toFixed(1) ?? 'unknown').join(' to ')
  return {
    speeds: new Map(timed.map((cell, i) => [cell, found[i]])),
    words: `Decode speed: ${decode.tokens} tokens after a prompt of ${decode.prompt}, the planner included, medians of ${decode.rounds} interleaved rounds; load of the machine ${load}.`,
  }
}

// ---- What was found --------------------------------------------------------------------------------------------------

/** The rows of windows of a shape. @param speeds tokens per second; null where they were not measured */
export function gridRows(
  window: GridWindow,
  measured: readonly MeasuredCell[],
  speeds: ReadonlyMap<Cell | null, number> | null,
): Row[] {
  return measured.map(({ cell, scores }): Row => {
    const { heads, neurons } = skippedBy(scores)
    const perplexity = perplexityOf(natsPerToken(scores))
    const kl = klPerToken(scores)
    const agreement = agreementOf(scores)
    const overStatic = cell && over(scores, peerOf(cell, measured, 'static'))
    const overGriffin = cell && over(scores, peerOf(cell, measured, 'griffin'))
    return {
      window: nameOf(window),
      units: cell?.units ?? null,
      sparsity: 100 * (cell?.method.sparsity ?? 0),
      ...(cell ? cellWords(cell.method) : { planner: 'dense', every: null, prompt: 'dense' }),
      heads: 100 * heads,
      neurons: 100 * neurons,
      perplexity: perplexity.value,
      perplexityError: perplexity.error,
      kl: kl.value,
      klError: known(kl.error),
      agreement: 100 * agreement.value,
      agreementError: known(100 * agreement.error),
      overStatic: overStatic?.value ?? null,
      overStaticError: known(overStatic?.error),
      overGriffin: overGriffin?.value ?? null,
      overGriffinError: known(overGriffin?.error),
      speed: speeds?.get(cell) ?? null,
    }
  })
}

/** An error of a single window is none. */
function known(error: number | undefined): number | null {
  return error === undefined || Number.isNaN(error) ? null : error
}

function over(scores: readonly ComparedScore[], peer: MeasuredCell | undefined): Ratio | null {
  return peer && peer.scores !== scores ? compareKl(scores, peer.scores) : null
}

/** Static scores over the whole model, or griffin, by the same budget; static with the same prompt. */
function peerOf(
  cell: Cell,
  measured: readonly MeasuredCell[],
  planner: 'static' | 'griffin',
): MeasuredCell | undefined {
  return measured.find(
    ({ cell: other }) =>
      other !== null &&
      isPeer(cell, other) &&
      other.method.planner === planner &&
      (planner === 'griffin' ||
        (other.method.scope === 'global' && other.method.prefill === cell.method.prefill)),
  )
}

/** Planners that could not be used: they see the answer, or nothing. */
const bounds: readonly string[] = ['oracle', 'random']

/** For each budget: which cell has the least KL, and whether chance could make it less than that of static and of griffin. */
export function gridFindings(window: GridWindow, measured: readonly MeasuredCell[]): string[] {
  const usable = measured.flatMap(({ cell, scores }) =>
    cell && !bounds.includes(cell.method.planner) ? [{ cell, scores }] : [],
  )
  const budgets = Map.groupBy(usable, ({ cell }) => `${cell.units} ${cell.method.sparsity}`)
  return [...budgets.values()].map((cells) => {
    const [best] = cells.toSorted((a, b) => klPerToken(a.scores).value - klPerToken(b.scores).value)
    const { cell, scores } = best
    const against = (['static', 'griffin'] as const).flatMap((name) => {
      const difference = over(scores, peerOf(cell, measured, name))
      return difference ? [sayLess(name, difference)] : []
    })
    const rank = cells.length === 1 ? 'a KL of' : `the least KL of ${cells.length} cells,`
    const least = `${sayCell(cell)} has ${rank} ${sayRatio(klPerToken(scores))} nats per token`
    return `${nameOf(window)}, ${sayBudget(cell.units, cell.method.sparsity)}: ${[least, ...against].join('; ')}.`
  })
}

function sayBudget(units: Units, sparsity: number): string {
  return `${percent(sparsity)} of ${units === 'both' ? 'heads and neurons' : units}`
}

function sayCell({ method }: Cell): string {
  const { planner, every, prompt } = cellWords(method)
  return `${planner} (${every}, ${prompt} prompt)`
}

function sayRatio({ value, error }: Ratio): string {
  return `${value.toFixed(3)} ± ${Number.isFinite(error) ? error.toFixed(3) : '?'}`
}

function sayLess(name: string, { value, error }: Ratio): string {
  const isTold = Math.abs(value) >= 2 * error
  return `${sayRatio({ value: -value, error })} less than ${name}${isTold ? '' : ', which chance could do'}`
}

/** For each shape of windows and each kind of units: KL over sparsity, and over decode speed where that was measured. */
function gridPlots(rows: readonly Row[]): Plot[] {
  const cells = rows.filter(({ planner }) => planner !== 'dense')
  const groups = Map.groupBy(cells, ({ window, units }) => `${String(units)}, windows of ${String(window)}`)
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
  const lines = Map.groupBy(
    rows.filter((row) => row[key] !== null),
    ({ planner, every, prompt }) => `${String(planner)}, ${String(every)}, ${String(prompt)} prompt`,
  )
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
