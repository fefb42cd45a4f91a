/**
 * The grid: every planner that decides which units to skip, on one model, the same windows, and the same budgets.
 *
 * A row is a cell (grid_cells.ts) on windows of one shape. Quality is perplexity, KL(dense || masked) and how often the
 * likeliest next token is that of dense, of the tokens after the prompt; each with one standard error over windows, those of
 * all seeds together. KL is also compared window by window with static scores of the same prompt, and with griffin, wherever
 * these have the same budget.
 *
 * Decode speed is measured once, after the prompt of the first window, in interleaved rounds. The machine may be busy, so its load
 * before and after is reported.
 */
import { measureMethods, measureSpeeds } from './cache/measure.ts'
import type { ExperimentCache } from './cache/experiment_cache.ts'
import type { ComparedCost } from '../evaluation/score_window.ts'
import type { Settings } from '../evaluation/settings.ts'
import {
  agreementOf,
  compareKl,
  klPerToken,
  measured as measuredRatio,
  natsPerToken,
  perplexityOf,
  skippedBy,
  type Measured,
} from '../evaluation/tally.ts'
import type { MethodScore } from '../evaluation/window_evaluator.ts'
import { machineLoad } from '../platform/platform.ts'
import type { Column, Plot, Row } from '../results/experiment_result.ts'
import { denseMethod } from '../results/method.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Experiment, ExperimentContext, Finding } from './experiment.ts'
import { cellWords, gridCells, isPeer, type Cell, type GridWindow } from './grid_cells.ts'

/** A score of a window that was compared with dense. */
export type ComparedScore = MethodScore & ComparedCost

/** A cell and its windows. */
export interface MeasuredCell {
  /** Null is dense. */
  readonly cell: Cell | null
  readonly scores: readonly ComparedScore[]
}

/** How the finding on decode speed begins. */
export const SPEED_WORDS = 'Decode speed: '

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
    for (const window of windows) {
      const measured = await measureWindow(context, window, cells)
      rows.push(...gridRows(window, measured, timed?.speeds ?? null))
    }
    return {
      columns,
      rows,
      plots: gridPlots(rows),
      paper: null,
      findings: [...gridFindings(rows), ...(timed ? [timed.words] : [])],
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
    words: `${SPEED_WORDS}${decode.tokens} tokens after a prompt of ${decode.prompt}, the planner included, medians of ${decode.rounds} interleaved rounds; load of the machine ${load}.`,
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
    const kl = measuredRatio(klPerToken(scores))
    const agreement = measuredRatio(agreementOf(scores))
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
      klError: kl.error,
      agreement: 100 * agreement.value,
      agreementError: agreement.error === null ? null : 100 * agreement.error,
      overStatic: overStatic?.value ?? null,
      overStaticError: overStatic?.error ?? null,
      overGriffin: overGriffin?.value ?? null,
      overGriffinError: overGriffin?.error ?? null,
      speed: speeds?.get(cell) ?? null,
    }
  })
}

function over(scores: readonly ComparedScore[], peer: MeasuredCell | undefined): Measured | null {
  return peer && peer.scores !== scores ? measuredRatio(compareKl(scores, peer.scores)) : null
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

/**
 * For each budget and each share that is really skipped, as printed: the cell of the least KL, and its differences from static
 * scores and griffin where these skip as much. It is no test: the windows that choose the cell are those that measure it.
 */
export function gridFindings(rows: readonly Row[]): string[] {
  const usable = rows.filter(({ planner }) => planner !== 'dense' && !bounds.includes(String(planner)))
  const groups = Map.groupBy(usable, (row) => `${String(row.window)}, ${sayBudget(row)}`)
  return [...groups].flatMap(([budget, cells]) => {
    if (cells.length === 1) return []
    const [best] = cells.toSorted((a, b) => Number(a.kl) - Number(b.kl))
    const has = (name: string): boolean =>
      cells.some(({ planner, prompt }) => planner === name && (name === 'griffin' || prompt === best.prompt))
    const against = [
      ...(has('static') ? sayLess('static', best.overStatic, best.overStaticError) : []),
      ...(has('griffin') ? sayLess('griffin', best.overGriffin, best.overGriffinError) : []),
    ]
    const { planner, every, prompt } = best
    const cell = `${String(planner)} (${String(every)}, ${String(prompt)} prompt)`
    const least = `${cell} has the least KL of ${cells.length} cells, ${sayRatio(best.kl, best.klError)} nats per token`
    return [`${budget}: ${[least, ...against].join('; ')}.`]
  })
}

/** What was asked, and what is skipped of all units of the model. */
function sayBudget({ units, sparsity, heads, neurons }: Row): string {
  const asked = `${String(sparsity)} % of ${units === 'both' ? 'heads and neurons' : String(units)}`
  const shares = [units !== 'neurons' && heads, units !== 'heads' && neurons].filter((one) => one !== false)
  return `${asked} (skipped of all: ${shares.map((share) => `${Number(share).toFixed(1)} %`).join(' and ')})`
}

function sayRatio(value: Row[string], error: Row[string]): string {
  return `${Number(value).toFixed(3)} ± ${typeof error === 'number' ? error.toFixed(3) : '?'}`
}

/** Nothing of a cell that is compared with itself. */
function sayLess(name: string, value: Row[string], error: Row[string]): string[] {
  return typeof value === 'number' ? [`${sayRatio(-value, error)} less than ${name}`] : []
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
