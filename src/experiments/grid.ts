/**
 * The grid: every planner that decides which units to skip, on one model, the same windows, and the same budgets.
 *
 * A row is a cell (grid_cells.ts) on windows of one shape; grid_rows.ts says what it holds.
 *
 * Decode speed is measured once, after the prompt of the first window, in interleaved rounds. The machine may be busy, so its load
 * before and after is reported.
 */
import { measureMethods, measureSpeeds } from './cache/measure.ts'
import type { ExperimentCache } from './cache/experiment_cache.ts'
import type { Settings } from '../evaluation/settings.ts'
import { median } from '../results/interleaved_rounds.ts'
import { machineLoad } from '../platform/platform.ts'
import type { Row } from '../results/experiment_result.ts'
import { denseMethod } from '../results/method.ts'
import { UsageError } from '../tensor/errors.ts'
import type { Experiment, ExperimentContext, Finding } from './experiment.ts'
import { gridCells, type Cell, type GridWindow } from './grid_cells.ts'
import {
  gridColumns,
  gridFindings,
  gridPlots,
  gridRows,
  type ComparedScore,
  type MeasuredCell,
} from './grid_rows.ts'

/** How the finding on decode speed begins. */
export const SPEED_WORDS = 'Decode speed: '

/** See the head of this file. */
export const grid: Experiment = {
  name: 'grid',
  title: 'When and by what to decide which units to skip',
  asks: 'Which planner costs least at the same budget, on the same windows: deciding once, now and then or at every token, by a predictor, the prompt, static scores or magnitudes? (Not in the paper.)',
  takesSparsity: true,
  async run(context): Promise<Finding> {
    const { settings, cache, grid: choice = {} } = context
    const { windows = windowsOf(settings), speed = true } = choice
    const apart = choice.headSparsities !== undefined
    const { predictors, mean, moments } = cache.options
    const cells = gridCells({
      model: cache.model,
      settings,
      given: { predictors, calibrated: mean !== undefined, moments },
      choice,
    })
    if (cells.length === 0)
      throw new UsageError('GRID', 'grid: expected at least one cell that a planner accepts, got none')
    const timed = speed ? await measureCellSpeeds(context, cells) : null
    const rows: Row[] = []
    const found: string[] = []
    for (const window of windows) {
      const measured = await measureWindow(context, window, cells)
      const own = gridRows(window, measured, timed?.speeds ?? null, apart)
      rows.push(...own)
      found.push(...gridFindings(own, measured))
    }
    return {
      columns: gridColumns(apart),
      rows,
      plots: gridPlots(rows),
      paper: null,
      findings: [...found, ...(timed ? [timed.words] : [])],
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
  const found = (await measureSpeeds(cache, methods, decode, evaluation, seeds[0])).map(median)
  const load = [before, machineLoad()].map((one) => one?.toFixed(1) ?? 'unknown').join(' to ')
  return {
    speeds: new Map(timed.map((cell, i) => [cell, found[i]])),
    words: `${SPEED_WORDS}${decode.tokens} tokens after a prompt of ${decode.prompt}, the planner included, medians of ${decode.rounds} interleaved rounds; load of the machine ${load}.`,
  }
}
